// dot.cuh - the product of two rows by a warp.
#pragma once
#include "qs.cuh"

// x · w, eight columns a lane and step; whole in every lane, summed in a fixed order.
__device__ __forceinline__ float warp_dot(const T* x, const W* w, int columns) {
    bool wide = columns % 8 == 0 && aligned16(x, w);
    float u[8], v[8], sum = 0;
    for (int c = 8 * (threadIdx.x % 32); c < columns; c += 256) {
        load_part(u, x + c, wide, columns - c);
        load_part(v, w + c, wide, columns - c);
        for (int i = 0; i < 8; i++) sum += u[i] * v[i];
    }
    return warp_sum(sum);
}
