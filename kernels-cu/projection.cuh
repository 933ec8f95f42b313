// A return's target among evenly spaced atoms: 1 − share on `atom` and `share` on the next one; share is below 1. Two-hot keeps the
// mean, nearest takes one atom, halves to the even one. A return that is NaN makes the share NaN.
#pragma once
#include "qs.cuh"

struct Projected {
    int atom;
    float share;
    __device__ __forceinline__ float of(int i) const { return i == atom ? 1 - share : i == atom + 1 ? share : 0; }
};

__device__ __forceinline__ Projected project(float value, float low, float range, int nearest, int atoms) {
    float r = (value - low) / range;
    r = r < 0 ? 0 : r > 1 ? 1 : r;   // NaN stays
    float position = r * (atoms - 1);
    if (r != r) return {0, r};
    if (nearest) return {(int)rintf(position), 0};
    return {(int)position, position - (int)position};
}
