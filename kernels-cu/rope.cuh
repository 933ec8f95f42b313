// rope.cuh - rotary positions, for rope and kv_write, which must turn alike to the bit. A block is one token: the D/2 sines and
// cosines of its position go to shared memory once, then all heads are turned, eight pairs a thread and step. The angle is taken
// in turns in float64, where it is exact enough at position 131,072 (a float would be off by 0.01); D/2 such products a token
// cost nothing beside its bytes, even where float64 is slow. Within half a turn the fast sine and cosine are off by 5e-7 at most.
#pragma once
#include "qs.cuh"

#define TURNS_PER_RADIAN 0.15915494309189535
#define RADIANS_PER_TURN 6.283185307179586

// Eights of pairs that a head has; angles holds 16 floats for each.
__device__ __forceinline__ int rope_pieces(int head_dim) { return (head_dim / 2 + 7) / 8; }

// angles = the sines of position · frequencies, then the cosines, for the whole block to use.
__device__ __forceinline__ void find_angles(float* angles, const float* frequencies, int head_dim, double position) {
    int padded = rope_pieces(head_dim) * 8;
    for (int i = threadIdx.x; i < padded; i += blockDim.x) {
        double turns = i < head_dim / 2 ? position * frequencies[i] * TURNS_PER_RADIAN : 0;
        float angle = (float)((turns - rint(turns)) * RADIANS_PER_TURN);
        angles[i] = __sinf(angle);
        angles[padded + i] = __cosf(angle);
    }
    __syncthreads();
}

// to = the turned heads; `to` may be `from`.
__device__ __forceinline__ void turn_heads(const T* from, T* to, int heads, int head_dim, const float* angles) {
    int half = head_dim / 2, pieces = rope_pieces(head_dim);
    bool wide = half % 8 == 0 && aligned16(from, to);
    for (int k = threadIdx.x; k < heads * pieces; k += blockDim.x) {
        int i = k % pieces * 8, first = k / pieces * head_dim + i;
        float a[8], b[8], sine[8], cosine[8];
        load_part(a, from + first, wide, half - i);
        load_part(b, from + first + half, wide, half - i);
        load8(sine, angles + i);
        load8(cosine, angles + pieces * 8 + i);
        for (int j = 0; j < 8; j++) {
            float turned = fmaf(a[j], cosine[j], -(b[j] * sine[j]));   // said, so that both kernels round alike
            b[j] = fmaf(b[j], cosine[j], a[j] * sine[j]);
            a[j] = turned;
        }
        store_part(to + first, a, wide, half - i);
        store_part(to + first + half, b, wide, half - i);
    }
}
