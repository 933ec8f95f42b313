// gemv: y[n, o] = bias[o] + sum_i x[n, i] w[o, i] for few rows n, where a matrix product is bound by reading w once.
// A group of `splits` warps owns P outputs and shares the inputs among its warps in stripes; each lane loads 16 bytes of w at
// a time and multiplies them with R rows of x, which come from L1. Partial sums meet in shared memory and are added in order,
// so results do not depend on the grid. Floor: O*I*sizeof(W) bytes of w; x, y and bias are small.
// variants: T=float W=float Y=float | T=float W=bf16 Y=float | T=bf16 W=bf16 Y=bf16 | T=bf16 W=bf16 Y=float
#include "qs.cuh"

enum { WARPS = 8, MOST_ROWS = 8, MOST_OUTPUTS = 2 };

template <int R, int P>
__device__ __forceinline__ void gemv(const T* x, const W* w, const float* bias, QS_Y* y, int rows, int outputs, int inputs,
                                     int splits, int vectors) {
    QS_SHARED(float, partial, WARPS * MOST_ROWS * MOST_OUTPUTS);
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, split = warp % splits;
    int first = (blockIdx.x * (WARPS / splits) + warp / splits) * P, row = blockIdx.y * R;
    float sum[R][P] = {};
    if (first < outputs) {
        if (vectors) {                                        // rows of 8 elements, 16-byte aligned
            for (int i = (split * 32 + lane) * 8; i < inputs; i += splits * 256) {
                float a[P][8];
#pragma unroll
                for (int p = 0; p < P; p++) load8(a[p], w + (size_t)min(first + p, outputs - 1) * inputs + i);
#pragma unroll
                for (int r = 0; r < R; r++) {
                    float b[8];
                    load8(b, x + (size_t)min(row + r, rows - 1) * inputs + i);
#pragma unroll
                    for (int p = 0; p < P; p++)
#pragma unroll
                        for (int e = 0; e < 8; e++) sum[r][p] += a[p][e] * b[e];
                }
            }
        } else {
            for (int i = split * 32 + lane; i < inputs; i += splits * 32)
#pragma unroll
                for (int r = 0; r < R; r++)
#pragma unroll
                    for (int p = 0; p < P; p++)
                        sum[r][p] += to_float(w[(size_t)min(first + p, outputs - 1) * inputs + i])
                                   * to_float(x[(size_t)min(row + r, rows - 1) * inputs + i]);
        }
    }
#pragma unroll
    for (int r = 0; r < R; r++)
#pragma unroll
        for (int p = 0; p < P; p++) {
            float s = warp_sum(sum[r][p]);
            if (lane == 0) partial[(warp * R + r) * P + p] = s;
        }
    __syncthreads();
    int r = lane / P, p = lane % P;                           // the first warp of a group writes its R x P results
    if (split == 0 && lane < R * P && row + r < rows && first + p < outputs) {
        float s = bias ? bias[first + p] : 0.f;
        for (int k = 0; k < splits; k++) s += partial[((warp + k) * R + r) * P + p];
        y[(size_t)(row + r) * outputs + first + p] = from_float<QS_Y>(s);
    }
}

#define GEMV(R)                                                                                                            \
    extern "C" __global__ void __launch_bounds__(256) QS_NAME(gemv_##R)(const T* x, const W* w, const float* bias, QS_Y* y, \
                                                                       int rows, int outputs, int inputs, int splits, int vectors) { \
        gemv<R, 2>(x, w, bias, y, rows, outputs, inputs, splits, vectors);                                                  \
    }
GEMV(1)
QS_KERNEL(gemv_1)
GEMV(2)
QS_KERNEL(gemv_2)
GEMV(4)
QS_KERNEL(gemv_4)
GEMV(8)
QS_KERNEL(gemv_8)
