// expected_value: of each row Σ softmax(x)·values, values[token] and ln Σ exp(x), in one pass (online softmax). Floor: a read of x
// and of the values.
// expected_value_backward: with p = softmax(x), from the sum that was kept, dx = dMean·p·(value − mean) and
// dValues = dMean·p + dChosen·onehot(token); dx may be x, dValues the values, and either null. Floor: a read of x and of the
// values, and a write of what is wanted. A row a block in both, four columns a thread and step.
// The pair of sums is that of AlgaeDICE and DualDICE (Nachum et al. 2019).
// variants: T=float | T=bf16
#include "rows.cuh"

extern "C" __global__ void __launch_bounds__(1024) QS_NAME(expected_value)(
    const T* x, const float* values, const int* tokens, float* means, float* chosen, float* logSumExp, int columns) {
    x += (size_t)blockIdx.x * columns;
    values += (size_t)blockIdx.x * columns;
    int token = tokens[blockIdx.x];
    if (token < 0) {
        if (threadIdx.x == 0) means[blockIdx.x] = chosen[blockIdx.x] = logSumExp[blockIdx.x] = 0;
        return;
    }
    bool wide = columns % 4 == 0 && aligned16(values);
    WeighedSum softmax;
    for_row<4>(x, columns, [&](int c, const float (&scores)[4]) {
        float v[4];
        load_part(v, values + c, wide, columns - c);
        softmax.add(scores, v);
    });
    softmax.reduce();
    if (threadIdx.x != 0) return;
    means[blockIdx.x] = softmax.moment / softmax.sum;
    chosen[blockIdx.x] = values[token];
    logSumExp[blockIdx.x] = softmax.max + logf(softmax.sum);
}
QS_KERNEL(expected_value)

extern "C" __global__ void __launch_bounds__(1024) QS_NAME(expected_value_backward)(
    const float* dMeans, const float* dChosen, const T* x, const float* values, const int* tokens, const float* means, const float* logSumExp, T* dx,
    float* dValues, int columns) {
    size_t row = (size_t)blockIdx.x * columns;
    x += row;
    values += row;
    dx = dx ? dx + row : nullptr;
    dValues = dValues ? dValues + row : nullptr;
    int token = tokens[blockIdx.x];
    float scale = dMeans[blockIdx.x], own = dChosen[blockIdx.x], mean = means[blockIdx.x], shift = logSumExp[blockIdx.x];
    bool counts = token >= 0 && (scale != 0 || own != 0), wide = columns % 4 == 0 && aligned16(x, values, dx, dValues);
    for (int c = 4 * threadIdx.x; c < columns; c += 4 * blockDim.x) {
        float share[4] = {}, slope[4] = {};
        if (counts) {
            float v[4];
            load_part(share, x + c, wide, columns - c);
            load_part(v, values + c, wide, columns - c);
            for (int i = 0; i < 4; i++) {
                share[i] = scale * expf(share[i] - shift);
                slope[i] = share[i] == 0 ? 0 : share[i] * (v[i] - mean);
                if (c + i == token) share[i] += own;
            }
        }
        if (dx) store_part(dx + c, slope, wide, columns - c);
        if (dValues) store_part(dValues + c, share, wide, columns - c);
    }
}
QS_KERNEL(expected_value_backward)
