// layer_norm: y = (x − μ)·s·weight + bias with s = 1/√(σ² + ε) for each row (Ba, Kiros and Hinton 2016); stats = (μ, s).
// Where `branch` is not null, x + branch takes the place of x and goes to `sum`; otherwise sum is x. A row a block, eight
// columns a thread and step. The variance is taken about the mean, as Σx² − μ² would cancel; the second and third pass over
// the row hit L1. Floor: a read of x and a write of y, and of branch and sum. y and sum may be x.
// layer_norm_backward: with x̂ = (x − μ)·s and g = dy·weight, dx += s·(g − mean(g) − x̂·mean(g·x̂)); the sums of dy·x̂ and
// of dy over the rows blockIdx.x, blockIdx.x + gridDim.x, … go to row blockIdx.x of the partials, as in rms_norm.cu.
// Floor: a read of dy and of x, a read and a write of dx.
// variants: T=float | T=bf16
#include "qs.cuh"

extern "C" __global__ void __launch_bounds__(1024) QS_NAME(layer_norm)(
    const T* x, const T* branch, const float* weight, const float* bias, float epsilon, T* sum, T* y, float* stats, int columns) {
    size_t first = (size_t)blockIdx.x * columns;
    bool wide = columns % 8 == 0 && aligned16(x, branch, weight, bias, sum, y);
    float v[8], w[8], b[8], total = 0, squares = 0;
    for (int c = 8 * threadIdx.x; c < columns; c += 8 * blockDim.x) {
        load_part(v, x + first + c, wide, columns - c);
        if (branch) {
            load_part(w, branch + first + c, wide, columns - c);
            for (int i = 0; i < 8; i++) v[i] = to_float(from_float<T>(v[i] + w[i]));   // what backward will read
            store_part(sum + first + c, v, wide, columns - c);
        }
        for (int i = 0; i < 8; i++) total += v[i];
    }
    float mean = block_sum(total) / columns;
    for (int c = 8 * threadIdx.x; c < columns; c += 8 * blockDim.x) {
        load_part(v, sum + first + c, wide, columns - c);
        for (int i = 0; i < 8; i++) if (c + i < columns) squares += (v[i] - mean) * (v[i] - mean);
    }
    float scale = rsqrtf(block_sum(squares) / columns + epsilon);
    if (threadIdx.x == 0) {
        stats[2 * (size_t)blockIdx.x] = mean;
        stats[2 * (size_t)blockIdx.x + 1] = scale;
    }
    for (int c = 8 * threadIdx.x; c < columns; c += 8 * blockDim.x) {
        load_part(v, sum + first + c, wide, columns - c);
        load_part(w, weight + c, wide, columns - c);
        load_part(b, bias + c, wide, columns - c);
        for (int i = 0; i < 8; i++) v[i] = (v[i] - mean) * scale * w[i] + b[i];
        store_part(y + first + c, v, wide, columns - c);
    }
}
QS_KERNEL(layer_norm)

extern "C" __global__ void __launch_bounds__(1024) QS_NAME(layer_norm_backward)(
    const T* dy, const T* x, const float* weight, const float* stats, T* dx, float* weight_partials, float* bias_partials,
    int rows, int columns) {
    QS_DYN_SHARED(float, sums);   // [columns] of dWeight, then, on a boundary of 32 bytes, [columns] of dBias
    float* bias_sums = sums + (columns + 7) / 8 * 8;
    bool wide = columns % 8 == 0 && aligned16(dy, x, weight, dx);
    float g[8], v[8], w[8], sum[8], bias_sum[8];
    for (int c = 8 * threadIdx.x; c < columns; c += 8 * blockDim.x)
        for (int i = 0; i < 8 && c + i < columns; i++) sums[c + i] = bias_sums[c + i] = 0;
    for (int row = blockIdx.x; row < rows; row += gridDim.x) {
        size_t first = (size_t)row * columns;
        float mean = stats[2 * (size_t)row], scale = stats[2 * (size_t)row + 1], total = 0, product = 0;
        for (int c = 8 * threadIdx.x; c < columns; c += 8 * blockDim.x) {
            load_part(g, dy + first + c, wide, columns - c);
            load_part(v, x + first + c, wide, columns - c);
            load_part(w, weight + c, wide, columns - c);
            load_part(sum, sums + c, wide, columns - c);
            load_part(bias_sum, bias_sums + c, wide, columns - c);
            for (int i = 0; i < 8; i++) {
                total += g[i] * w[i];
                product += g[i] * w[i] * (v[i] - mean);
                sum[i] += g[i] * ((v[i] - mean) * scale);
                bias_sum[i] += g[i];
            }
            store_part(sums + c, sum, wide, columns - c);
            store_part(bias_sums + c, bias_sum, wide, columns - c);
        }
        float shift = scale * block_sum(total) / columns, slope = scale * scale * scale * block_sum(product) / columns;
        for (int c = 8 * threadIdx.x; c < columns; c += 8 * blockDim.x) {
            load_part(g, dy + first + c, wide, columns - c);
            load_part(v, x + first + c, wide, columns - c);
            load_part(w, weight + c, wide, columns - c);
            load_part(sum, dx + first + c, wide, columns - c);
            for (int i = 0; i < 8; i++) sum[i] += scale * g[i] * w[i] - shift - slope * (v[i] - mean);
            store_part(dx + first + c, sum, wide, columns - c);
        }
    }
    for (int c = 8 * threadIdx.x; c < columns; c += 8 * blockDim.x)
        for (int i = 0; i < 8 && c + i < columns; i++) {
            weight_partials[(size_t)blockIdx.x * columns + c + i] = sums[c + i];
            bias_partials[(size_t)blockIdx.x * columns + c + i] = bias_sums[c + i];
        }
}
QS_KERNEL(layer_norm_backward)
