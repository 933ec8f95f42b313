// log_softmax: y = x/T − ln Σ exp(x/T) of each row, a row a block: one pass for maximum and sum (online softmax), one that
// writes, whose reads hit L2. A row of nothing but −∞ gives −∞. y may be x. Floor: a read of x and a write of y.
// variants: none
#include "rows.cuh"

extern "C" __global__ void __launch_bounds__(1024) QS_NAME(log_softmax)(const float* x, float scale, float* y, int columns) {
    x += (size_t)blockIdx.x * columns;
    y += (size_t)blockIdx.x * columns;
    SoftmaxSum softmax;
    for_row<4>(x, columns, [&](int, float (&v)[4]) {
        for (int i = 0; i < 4; i++) v[i] = clean(v[i]);
        softmax.add(v, scale);
    });
    softmax.reduce(scale);
    bool wide = columns % 4 == 0 && aligned16(x, y), empty = softmax.max == -QS_INFINITY;
    float log_sum = logf(softmax.sum);
    for_row<4>(x, columns, [&](int first, float (&v)[4]) {
        for (int i = 0; i < 4; i++) v[i] = empty ? -QS_INFINITY : (clean(v[i]) - softmax.max) * scale - log_sum;
        store_part(y + first, v, wide, columns - first);
    });
}
QS_KERNEL(log_softmax)
