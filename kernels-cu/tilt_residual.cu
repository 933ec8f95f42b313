// tilt_residual: the prefix's tilt − ln Σ q e^g over all tokens, or − Σ q g for the mean tilt; 0 where the prefix is not known. A row
// that a weighted tilt leaves no token of is not tilted: its g becomes 0, the residual NaN. A row a block, sums in fp32. Floor: a read of ln q and of g.
// variants: none
#include "tilt.cuh"

extern "C" __global__ void __launch_bounds__(1024) QS_NAME(tilt_residual)(
    const float* logReference, float* g, const float* prefixTilt, int tilt, float* residual, int columns) {
    const float* q = logReference + (size_t)blockIdx.x * columns;
    g += (size_t)blockIdx.x * columns;
    float prefix = prefixTilt ? prefixTilt[blockIdx.x] : __int_as_float(0x7fc00000);
    bool known = prefix > -QS_INFINITY;
    if (!known && tilt != TILT_WEIGHTED) {
        if (threadIdx.x == 0) residual[blockIdx.x] = 0;
        return;
    }
    WeighedSum sum;
    bool wide = columns % 4 == 0 && aligned16(q, g);
    for (int c = 4 * threadIdx.x; c < columns; c += 4 * blockDim.x) {
        float v[4], gains[4];
        load_part(v, q + c, wide, columns - c);
        load_part(gains, g + c, wide, columns - c);
        for (int i = 0; i < 4; i++) v[i] = c + i < columns ? clean(tilt == TILT_MEAN ? v[i] : v[i] + gains[i]) : -QS_INFINITY;
        sum.add(v, gains);
    }
    sum.reduce();
    bool lost = tilt == TILT_WEIGHTED && sum.max == -QS_INFINITY;
    for (int c = threadIdx.x; lost && c < columns; c += blockDim.x) g[c] = 0;
    double mean = tilt == TILT_MEAN ? (double)sum.moment / sum.sum : sum.max + log((double)sum.sum);
    if (threadIdx.x == 0) residual[blockIdx.x] = lost ? __int_as_float(0x7fc00000) : known ? (float)(prefix - mean) : 0;
}
QS_KERNEL(tilt_residual)
