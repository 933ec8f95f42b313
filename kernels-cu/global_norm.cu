// square_sums: block b sums the squares of its part of x in float64, exact enough for any number of elements; a fixed number of blocks
// fixes the order. Four elements a thread and step. clip_factor: one block adds the parts in order and writes ‖x‖₂ and
// min(1, maxNorm/‖x‖₂), 1 for a norm of 0 and 0 for one that is not finite (Pascanu et al. 2013).
// Floor: one read of x; a conversion and an fma in float64 for each 4 bytes stay under it even where float64 is slow.
// variants: none
#include "qs.cuh"

extern "C" __global__ void __launch_bounds__(256) QS_NAME(square_sums)(const float* x, double* sums, long long count) {
    long long first = 4 * ((long long)blockIdx.x * blockDim.x + threadIdx.x), step = 4LL * gridDim.x * blockDim.x;
    bool wide = aligned16(x);
    double sum[4] = {};
    for (long long at = first; at < count; at += step) {
        float v[4];
        load_part(v, x + at, wide && count - at >= 4, count - at);
        for (int i = 0; i < 4; i++) sum[i] += (double)v[i] * v[i];
    }
    double total = block_sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
    if (threadIdx.x == 0) sums[blockIdx.x] = total;
}
QS_KERNEL(square_sums)

extern "C" __global__ void __launch_bounds__(256) QS_NAME(clip_factor)(const double* sums, float* result, int count, float max_norm) {
    double sum = 0;
    for (int i = threadIdx.x; i < count; i += blockDim.x) sum += sums[i];
    float norm = (float)sqrt(block_sum(sum));
    if (threadIdx.x != 0) return;
    result[0] = norm;
    result[1] = !(norm < QS_INFINITY) ? 0 : norm > max_norm ? max_norm / norm : 1;
}
QS_KERNEL(clip_factor)
