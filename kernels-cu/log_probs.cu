// log_probs: ln softmax(x)[token] and ln Σ exp(x) of each row, in one pass (online softmax). Floor: a read of x.
// log_probs_backward: dx = dLogProb·(onehot(token) − softmax(x)), the softmax from the sum that was kept; dx may be x.
// Floor: a read of x and a write of dx. A row a block in both, eight columns a thread and step.
// variants: T=float | T=bf16
#include "rows.cuh"

extern "C" __global__ void __launch_bounds__(1024) QS_NAME(log_probs)(
    const T* x, const int* tokens, float* logProbs, float* logSumExp, int columns) {
    x += (size_t)blockIdx.x * columns;
    int token = tokens[blockIdx.x];
    if (token < 0) {
        if (threadIdx.x == 0) logProbs[blockIdx.x] = logSumExp[blockIdx.x] = 0;
        return;
    }
    SoftmaxSum softmax;
    for_row<8>(x, columns, [&](int, const float (&v)[8]) { softmax.add(v, 1); });
    softmax.reduce(1);
    if (threadIdx.x != 0) return;
    double log_sum = log((double)softmax.sum);
    logProbs[blockIdx.x] = (float)((double)to_float(x[token]) - softmax.max - log_sum);
    logSumExp[blockIdx.x] = (float)(softmax.max + log_sum);
}
QS_KERNEL(log_probs)

extern "C" __global__ void __launch_bounds__(1024) QS_NAME(log_probs_backward)(
    const float* dLogProbs, const T* x, const int* tokens, const float* logSumExp, T* dx, int columns) {
    x += (size_t)blockIdx.x * columns;
    dx += (size_t)blockIdx.x * columns;
    int token = tokens[blockIdx.x];
    float gradient = dLogProbs[blockIdx.x], shift = logSumExp[blockIdx.x];
    bool counts = token >= 0 && gradient != 0, wide = columns % 8 == 0 && aligned16(x, dx);
    for (int c = 8 * threadIdx.x; c < columns; c += 8 * blockDim.x) {
        float v[8] = {};
        if (counts) {
            load_part(v, x + c, wide, columns - c);
            for (int i = 0; i < 8; i++) v[i] = (c + i == token ? gradient : 0) - gradient * expf(v[i] - shift);
        }
        store_part(dx + c, v, wide, columns - c);
    }
}
QS_KERNEL(log_probs_backward)
