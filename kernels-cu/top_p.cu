// top_p: keeps the smallest set of the highest scores whose mass under softmax(scores/T) is at least p, ties lower id first;
// all others become −∞. A row a block of 1024 threads: maximum and sum in one pass, the cut by radix selection (select.cuh),
// then the result. y may be scores. Floor: a read of the scores and a write of y; all passes but the first hit L2. One block a
// multiprocessor, since the compiler's own aim of two spills on sm_80.
// variants: none
#include "select.cuh"

extern "C" __global__ void __launch_bounds__(1024, 1) QS_NAME(top_p)(
    const float* scores, float scale, float topP, float* y, float* logMass, int columns) {
    QS_SHARED(Bins, bins, 1);
    const float* x = scores + (size_t)blockIdx.x * columns;
    y += (size_t)blockIdx.x * columns;
    RowNucleus row = row_nucleus(bins[0], x, columns, scale, topP);
    Nucleus kept = row.kept;
    if (logMass && threadIdx.x == 0) logMass[blockIdx.x] = kept.support.all() ? 0 : (float)(log(kept.mass) - log(row.sum));
    bool wide = columns % 4 == 0 && aligned16(x, y);
    for_row<4>(x, columns, [&](int first, float (&v)[4]) {
        for (int i = 0; i < 4; i++) {
            float score = clean(v[i]);
            v[i] = kept.support.holds(score, first + i) ? score : -QS_INFINITY;
        }
        store_part(y + first, v, wide, columns - first);
    });
}
QS_KERNEL(top_p)
