// gathered_mat_mul: y[m, a] = x[m / K] · w[tokens[m]·A + a] + bias[tokens[m]·A + a]. A warp a product, eight columns a lane
// and step; K tokens of one prefix find its x in L1. Floor: a read of the M·A rows of w.
// gathered_mat_mul_dx: dx[r] = Σ dy[m, a] · w[tokens[m]·A + a] over the K tokens of prefix r and the A atoms, in order.
// blockIdx.x is r, blockIdx.y a stretch of the columns, eight a thread. Floor: the same rows of w. dw and dBias are add_rows'.
// variants: T=float W=float | T=float W=bf16 | T=bf16 W=float | T=bf16 W=bf16
#include "dot.cuh"

extern "C" __global__ void __launch_bounds__(256) QS_NAME(gathered_mat_mul)(
    const T* x, const W* w, const float* bias, const int* tokens, float* y, int count, int per_row, int atoms, int columns) {
    long long item = (long long)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (item >= (long long)count * atoms) return;
    int m = (int)(item / atoms);
    size_t row = (size_t)tokens[m] * atoms + item % atoms;
    float sum = warp_dot(x + (size_t)(m / per_row) * columns, w + row * columns, columns);
    if (threadIdx.x % 32 == 0) y[item] = bias ? sum + bias[row] : sum;
}
QS_KERNEL(gathered_mat_mul)

extern "C" __global__ void __launch_bounds__(256) QS_NAME(gathered_mat_mul_dx)(
    const float* dy, const W* w, const int* tokens, T* dx, int per_row, int atoms, int columns) {
    int c = 8 * (blockIdx.y * blockDim.x + threadIdx.x);
    if (c >= columns) return;
    dx += (size_t)blockIdx.x * columns;
    bool wide = columns % 8 == 0 && aligned16(w, dx);
    float sum[8] = {}, v[8];
    for (int k = 0; k < per_row; k++) {
        size_t m = (size_t)blockIdx.x * per_row + k, row = (size_t)tokens[m] * atoms;
        for (int a = 0; a < atoms; a++) {
            float factor = dy[m * atoms + a];
            load_part(v, w + (row + a) * columns + c, wide, columns - c);
            for (int i = 0; i < 8; i++) sum[i] += factor * v[i];
        }
    }
    store_part(dx + c, sum, wide, columns - c);
}
QS_KERNEL(gathered_mat_mul_dx)
