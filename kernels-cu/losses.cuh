// losses.cuh - what the losses share.
#pragma once
#include "qs.cuh"

// Whether a row counts for nothing; then its loss and gradient are written here: 0, whatever its logits are (0 · ∞ included). A warp's
// lanes share the columns; an element of its own is lane 0 of one column. dx may be null.
__device__ __forceinline__ bool is_silent(float weight, float* loss, float* dx, int columns, int lane) {
    if (weight != 0) return false;
    if (lane == 0) *loss = 0;
    if (dx)
        for (int i = lane; i < columns; i += 32) dx[i] = 0;
    return true;
}
