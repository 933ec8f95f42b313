// cache_positions: positions[r, s] = prompt_lengths[prompt_of[r]] + lengths[r] + s * step; step is 0 for siblings, else 1; without
// prompts prompt_of is null. One position a thread.
// variants: none
#include "qs.cuh"

extern "C" __global__ void __launch_bounds__(256) QS_NAME(cache_positions)(
    const int* prompt_lengths, const int* prompt_of, const int* lengths, int* positions, int tokens, int step, int count) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    int r = i / tokens, before = prompt_of ? prompt_lengths[prompt_of[r]] : 0;
    positions[i] = before + lengths[r] + i % tokens * step;
}
QS_KERNEL(cache_positions)
