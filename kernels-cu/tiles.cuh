// tiles.cuh - value logits of all tokens of a row, [n, A, W]: tiles of W tokens, within a tile one atom after another (TokenTiles).
// A thread takes four neighbouring tokens, so a warp reads the 128 tokens of a tile and atom in one access of 512 bytes, and no
// lane asks another for its atoms. W is a multiple of 128, or there is one tile, whose rows may lie unaligned.
#pragma once
#include "tilt.cuh"

// One token's atoms, with their bias, as arrays of tilt.cuh are indexed.
struct AtomsOfToken {
    const float* x;
    const float* bias;
    int width;
    __device__ __forceinline__ float operator[](int a) const { return x[(size_t)a * width] + (bias ? bias[a] : 0); }
};

struct Tiles {
    const float* row;    // the row's logits
    const float* bias;   // the row's, [A]; or null
    int columns, width;
    __device__ __forceinline__ Tiles(const float* logits, const float* valueBias, int atoms, int columns, int tiles, int width)
        : row(logits + (size_t)blockIdx.x * tiles * atoms * width), bias(valueBias ? valueBias + (size_t)blockIdx.x * atoms : nullptr),
          columns(columns), width(width) {}
    __device__ __forceinline__ const float* at(int token, int atoms) const { return row + (size_t)(token / width) * atoms * width + token % width; }
    __device__ __forceinline__ AtomsOfToken atoms_of(int token, int atoms) const { return {at(token, atoms), bias, width}; }

    // g of four tokens from `token` on, a multiple of 4; those past the end are of no account.
    __device__ __forceinline__ void tilts(int token, const Law& law, float (&g)[4]) const {
        const float* x = at(token, law.atoms);
        int left = columns - token;
        bool wide = width % 4 == 0 && left >= 4 && aligned16(x);
        float v[4];
        auto load = [&](int a) {
            load_part(v, x + (size_t)a * width, wide, left);
            for (int i = 0; i < 4; i++) v[i] += bias ? bias[a] : 0;
        };
        if (law.atoms == 1) {
            load(0);
            for (int i = 0; i < 4; i++) g[i] = tilt_of_logit(v[i], law);
            return;
        }
        AtomSums sums[4];
        for (int a = 0; a < law.atoms; a++) {
            load(a);
            for (int i = 0; i < 4; i++) sums[i].raise(v[i], a, law);
        }
        for (int a = 0; a < law.atoms; a++) {   // from L1
            load(a);
            for (int i = 0; i < 4; i++) sums[i].add(v[i], a, law);
        }
        for (int i = 0; i < 4; i++) g[i] = sums[i].tilt(law);
    }
};
