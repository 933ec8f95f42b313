// scatter: y = x + others, and x + values at the candidates of each row. scatter_others lays the first over all of y, four
// columns a thread; scatter then writes the candidates' over it, a thread a slot. Floor: a read of x and a write of y.
// variants: none
#include "qs.cuh"

extern "C" __global__ void __launch_bounds__(256) QS_NAME(scatter_others)(
    const float* x, const float* others, float* y, int columns) {
    size_t row = (size_t)blockIdx.x * columns;
    bool wide = columns % 4 == 0 && aligned16(x, y);
    int c = 4 * (blockIdx.y * blockDim.x + threadIdx.x);
    if (c >= columns) return;
    float v[4], other = others[blockIdx.x];
    load_part(v, x + row + c, wide, columns - c);
    for (int i = 0; i < 4; i++) v[i] += other;
    store_part(y + row + c, v, wide, columns - c);
}
QS_KERNEL(scatter_others)

extern "C" __global__ void __launch_bounds__(256) QS_NAME(scatter)(
    const float* x, const int* candidates, const float* values, float* y, int columns, int slots, int count) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    int token = candidates[i];
    if ((unsigned)token >= (unsigned)columns) return;   // an empty slot
    size_t at = (size_t)(i / slots) * columns + token;
    y[at] = x[at] + values[i];
}
QS_KERNEL(scatter)
