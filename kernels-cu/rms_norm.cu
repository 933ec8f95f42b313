// rms_norm: y = x·s·weight with s = 1/√(mean(x²) + ε) for each row (Zhang and Sennrich 2019). Where `branch` is not null,
// x + branch takes the place of x and goes to `sum`; otherwise sum is x. A row a block, eight columns a thread and step; the
// second pass over the row hits L1. Floor: a read of x and a write of y, and of branch and sum. y and sum may be x.
// rms_norm_backward: with g = dy·weight, dx += s·g − s³·x·mean(g·x), and dWeight's share of this block, Σ dy·x·s over the
// rows blockIdx.x, blockIdx.x + gridDim.x, …, goes to row blockIdx.x of `partials`, which add_column_sums adds up: the order
// is fixed. The sums lie in shared memory, each column a thread's own. Floor: a read of dy and of x, a read and a write of dx.
// variants: T=float | T=bf16
#include "qs.cuh"

extern "C" __global__ void __launch_bounds__(1024) QS_NAME(rms_norm)(
    const T* x, const T* branch, const float* weight, float epsilon, T* sum, T* y, float* stats, int columns) {
    size_t first = (size_t)blockIdx.x * columns;
    bool wide = columns % 8 == 0 && aligned16(x, branch, weight, sum, y);
    float v[8], w[8], squares = 0;
    for (int c = 8 * threadIdx.x; c < columns; c += 8 * blockDim.x) {
        load_part(v, x + first + c, wide, columns - c);
        if (branch) {
            load_part(w, branch + first + c, wide, columns - c);
            for (int i = 0; i < 8; i++) v[i] = to_float(from_float<T>(v[i] + w[i]));   // what backward will read
            store_part(sum + first + c, v, wide, columns - c);
        }
        for (int i = 0; i < 8; i++) squares += v[i] * v[i];
    }
    float scale = rsqrtf(block_sum(squares) / columns + epsilon);
    if (threadIdx.x == 0) stats[blockIdx.x] = scale;
    for (int c = 8 * threadIdx.x; c < columns; c += 8 * blockDim.x) {
        load_part(v, sum + first + c, wide, columns - c);
        load_part(w, weight + c, wide, columns - c);
        for (int i = 0; i < 8; i++) v[i] *= scale * w[i];
        store_part(y + first + c, v, wide, columns - c);
    }
}
QS_KERNEL(rms_norm)

extern "C" __global__ void __launch_bounds__(1024) QS_NAME(rms_norm_backward)(
    const T* dy, const T* x, const float* weight, const float* stats, T* dx, float* partials, int rows, int columns) {
    QS_DYN_SHARED(float, sums);   // [columns]: dWeight over this block's rows
    bool wide = columns % 8 == 0 && aligned16(dy, x, weight, dx);
    float g[8], v[8], w[8], sum[8];
    for (int c = 8 * threadIdx.x; c < columns; c += 8 * blockDim.x)
        for (int i = 0; i < 8 && c + i < columns; i++) sums[c + i] = 0;
    for (int row = blockIdx.x; row < rows; row += gridDim.x) {
        size_t first = (size_t)row * columns;
        float scale = stats[row], product = 0;
        for (int c = 8 * threadIdx.x; c < columns; c += 8 * blockDim.x) {
            load_part(g, dy + first + c, wide, columns - c);
            load_part(v, x + first + c, wide, columns - c);
            load_part(w, weight + c, wide, columns - c);
            load_part(sum, sums + c, wide, columns - c);
            for (int i = 0; i < 8; i++) {
                product += g[i] * w[i] * v[i];
                sum[i] += g[i] * v[i] * scale;
            }
            store_part(sums + c, sum, wide, columns - c);
        }
        float slope = scale * scale * scale * block_sum(product) / columns;
        for (int c = 8 * threadIdx.x; c < columns; c += 8 * blockDim.x) {
            load_part(g, dy + first + c, wide, columns - c);
            load_part(v, x + first + c, wide, columns - c);
            load_part(w, weight + c, wide, columns - c);
            load_part(sum, dx + first + c, wide, columns - c);
            for (int i = 0; i < 8; i++) sum[i] += scale * g[i] * w[i] - slope * v[i];
            store_part(dx + first + c, sum, wide, columns - c);
        }
    }
    for (int c = 8 * threadIdx.x; c < columns; c += 8 * blockDim.x)
        for (int i = 0; i < 8 && c + i < columns; i++) partials[(size_t)blockIdx.x * columns + c + i] = sums[c + i];
}
QS_KERNEL(rms_norm_backward)
