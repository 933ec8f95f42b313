// add_column_sums: to[c] += Σᵣ from[r, c], the second stage of a parameter's gradient. 32 columns a block, a warp for every
// 32nd row; then the warps' sums in order. Floor: one read of `from`, which has just been written and lies in L2.
// variants: none
#include "qs.cuh"

extern "C" __global__ void __launch_bounds__(1024) QS_NAME(add_column_sums)(const float* from, float* to, int rows, int columns) {
    QS_SHARED(float, partial, 1024);
    int lane = threadIdx.x % 32, column = blockIdx.x * 32 + lane, warps = blockDim.x / 32;
    float sum = 0;
    if (column < columns)
        for (int row = threadIdx.x / 32; row < rows; row += warps) sum += from[(size_t)row * columns + column];
    partial[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x >= 32 || column >= columns) return;
    for (int warp = 1; warp < warps; warp++) sum += partial[warp * 32 + lane];
    to[column] += sum;
}
QS_KERNEL(add_column_sums)
