// token_scores: y[m, a] = x[m / K, a] · table[tokens[m]] + bias[m / K, a]. A warp a product, eight columns a lane and step;
// the K tokens of a prefix find its x in L1. Floor: a read of the M rows of the table.
// token_scores_dx: dx[r, a] = Σ dy[m, a] · table[tokens[m]] over the K tokens of prefix r, in order; dbias[r, a] = Σ dy[m, a].
// blockIdx.x is (r, a), blockIdx.y a stretch of the columns, eight a thread. Floor: the same rows, and a write of dx.
// variants: T=float W=float | T=float W=bf16 | T=bf16 W=float | T=bf16 W=bf16
#include "dot.cuh"

extern "C" __global__ void __launch_bounds__(256) QS_NAME(token_scores)(
    const T* x, const T* bias, const W* table, const int* tokens, float* y, int count, int per_row, int atoms, int columns) {
    long long item = (long long)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (item >= (long long)count * atoms) return;
    int m = (int)(item / atoms);
    size_t row = (size_t)(m / per_row) * atoms + item % atoms;
    float sum = warp_dot(x + row * columns, table + (size_t)tokens[m] * columns, columns);
    if (threadIdx.x % 32 == 0) y[item] = sum + to_float(bias[row]);
}
QS_KERNEL(token_scores)

extern "C" __global__ void __launch_bounds__(256) QS_NAME(token_scores_dx)(
    const float* dy, const W* table, const int* tokens, T* dx, T* dbias, int per_row, int atoms, int columns) {
    int c = 8 * (blockIdx.y * blockDim.x + threadIdx.x);
    if (c >= columns) return;
    size_t row = blockIdx.x / atoms;
    int a = blockIdx.x % atoms;
    dx += (size_t)blockIdx.x * columns;
    bool wide = columns % 8 == 0 && aligned16(table, dx);
    float sum[8] = {}, v[8], total = 0;
    for (int k = 0; k < per_row; k++) {
        size_t m = row * per_row + k;
        float factor = dy[m * atoms + a];
        total += factor;
        load_part(v, table + (size_t)tokens[m] * columns + c, wide, columns - c);
        for (int i = 0; i < 8; i++) sum[i] += factor * v[i];
    }
    store_part(dx + c, sum, wide, columns - c);
    if (c == 0) dbias[blockIdx.x] = from_float<T>(total);
}
QS_KERNEL(token_scores_dx)
