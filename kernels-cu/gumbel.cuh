// gumbel.cuh - Gumbel noise as a pure function of (key, stream, position, token), by the four lines of GumbelNoise.cs:
// x = word (token mod 4) of philox(key, token / 4, position, stream, 0), u = (x + ½)·2⁻³², v = (~x + ½)·2⁻³²,
// E = v = 1 ? u : ln(v)·u/(v − 1), noise = −ln E. The words are the CPU's bits; the logarithms agree to rounding.
#pragma once
#include "qs.cuh"

__device__ __forceinline__ unsigned gumbel_word(unsigned long long key, int stream, int position, int token) {
    uint4 words = philox(key, (unsigned)token >> 2, position, stream, 0);
    int lane = token & 3;
    return lane == 0 ? words.x : lane == 1 ? words.y : lane == 2 ? words.z : words.w;
}
__device__ __forceinline__ float gumbel_of(unsigned word) {
    const float scale = 1.0f / 4294967296.0f;
    float u = ((float)word + 0.5f) * scale, v = ((float)~word + 0.5f) * scale;
    return -logf(v == 1 ? u : logf(v) * (u / (v - 1)));
}

// Not less than the noise of a word, and less than 0.1 more where noise is above 3: −ln u is at least −ln E, and the bits of a
// float are a lower bound of its binary logarithm, linear between powers of two.
__device__ __forceinline__ float gumbel_bound(unsigned word) {
    const float ln2 = 0.693147181f;
    return (float)__float_as_int((float)word) * (-ln2 / 8388608.0f) + ((127 + 32) * ln2 + 1e-3f);
}
