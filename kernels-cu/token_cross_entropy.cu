// token_cross_entropy: loss = −w·ln softmax(x)[target], dx = w·(softmax(x) − onehot(target)); dx may be x, or null for the loss
// alone. A row a block: one pass for maximum and sum (online softmax, Milakov and Gimelshein 2018), one for the gradient, whose
// reads hit L2. Floor: a read of x and a write of dx, in T; the losses are nothing beside it.
// variants: T=float | T=bf16
#include "rows.cuh"

extern "C" __global__ void __launch_bounds__(1024) QS_NAME(token_cross_entropy)(
    const T* x, const int* targets, const float* weights, float* losses, T* dx, int columns) {
    x += (size_t)blockIdx.x * columns;
    dx = dx ? dx + (size_t)blockIdx.x * columns : nullptr;
    int target = targets[blockIdx.x];
    float weight = weights[blockIdx.x];
    bool counts = target >= 0 && weight != 0, wide = columns % 8 == 0 && aligned16(x, dx);
    SoftmaxSum softmax;
    if (counts) {
        float chosen = to_float(x[target]);   // before dx is written over it
        for_row<8>(x, columns, [&](int, const float (&v)[8]) { softmax.add(v, 1); });
        softmax.reduce(1);
        if (threadIdx.x == 0) losses[blockIdx.x] = weight * (logf(softmax.sum) - (chosen - softmax.max));
    } else if (threadIdx.x == 0) {
        losses[blockIdx.x] = 0;
    }
    if (!dx) return;
    float scale = counts ? weight / softmax.sum : 0;
    for (int c = 8 * threadIdx.x; c < columns; c += 8 * blockDim.x) {
        float v[8] = {};
        if (counts) {
            load_part(v, x + c, wide, columns - c);
            for (int i = 0; i < 8; i++) v[i] = scale * expf(v[i] - softmax.max) - (c + i == target ? weight : 0);
        }
        store_part(dx + c, v, wide, columns - c);
    }
}
QS_KERNEL(token_cross_entropy)
