// cache_positions: positions[r, s] = lengths[r] + s * step; step is 0 for siblings, else 1. One position a thread.
// variants: none
#include "qs.cuh"

extern "C" __global__ void __launch_bounds__(256) QS_NAME(cache_positions)(
    const int* lengths, int* positions, int tokens, int step, int count) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) positions[i] = lengths[i / tokens] + i % tokens * step;
}
QS_KERNEL(cache_positions)
