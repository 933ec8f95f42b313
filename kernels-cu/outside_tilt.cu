// outside_tilt: the tilt of the tokens that are not among the candidates, and the residual ρ, of each row (tilt.cuh). A row a
// block. The tail's mass is summed, not taken as 1 − Σ q of the candidates, which would be rounding where they hold nearly
// everything: all tokens of q are summed but the candidates, which a bit of each token marks in shared memory.
// Floor: a read of ln q.
// variants: none
#include "tilt.cuh"

extern "C" __global__ void __launch_bounds__(1024, 1) QS_NAME(outside_tilt)(
    const float* logReference, const int* candidates, float* g, const float* weights, int weightStride, const float* prefixTilt, int tilt,
    int atoms, float low, float high, float lambda, int outside, float* gOutside, float* residual, int columns, int slots) {
    QS_DYN_SHARED(unsigned, marks);   // [columns / 32, rounded up]
    const float* x = logReference + (size_t)blockIdx.x * columns;
    candidates += (size_t)blockIdx.x * slots;
    g += (size_t)blockIdx.x * slots;
    for (int i = threadIdx.x; i < (columns + 31) / 32; i += blockDim.x) marks[i] = 0;
    __syncthreads();
    auto there = [&](int k) { return (unsigned)candidates[k] < (unsigned)columns; };
    for (int k = threadIdx.x; k < slots; k += blockDim.x)
        if (there(k)) atomicOr(&marks[candidates[k] / 32], 1u << candidates[k] % 32);
    __syncthreads();
    SoftmaxSum tail;
    for_row<4>(x, columns, [&](int first, float (&v)[4]) {
        unsigned mark = marks[first / 32] >> first % 32;
        for (int i = 0; i < 4; i++) v[i] = mark >> i & 1 ? -QS_INFINITY : clean(v[i]);
        tail.add(v, 1);
    });
    tail.reduce(1);
    double log_tail = tail.max == -QS_INFINITY ? -QS_INFINITY : tail.max + log((double)tail.sum);
    Law law = {tilt, atoms, low, high, lambda, outside, row_of(weights, weightStride, blockIdx.x)};
    float prefix = prefixTilt ? prefixTilt[blockIdx.x] : __int_as_float(0x7fc00000);
    OutsideTilt result = tilt_outside(law, slots, log_tail, prefix, there,
        [&](int k) { return (double)clean(x[candidates[k]]); }, g);
    if (threadIdx.x != 0) return;
    gOutside[blockIdx.x] = (float)result.tilt;
    if (residual) residual[blockIdx.x] = (float)result.residual;
}
QS_KERNEL(outside_tilt)
