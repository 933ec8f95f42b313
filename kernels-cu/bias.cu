// bias: what a linear layer needs beside its matrix product, which is cuBLAS's.
//   bias_add     y[n, o] += bias[o]; four neighbours a thread, as one access where rows allow. Floor: one read and one write of y
//   column_sum   partial[s, o] = sum of dy[n, o] over the rows n of part s; a block holds 32 columns and 8 rows at a time, and
//                add_column_sums adds the parts up
// variants: T=float | T=bf16
#include "qs.cuh"

extern "C" __global__ void __launch_bounds__(256) QS_NAME(bias_add)(T* y, const float* bias, long long count, int outputs) {
    long long first = 4 * ((long long)blockIdx.x * blockDim.x + threadIdx.x);
    if (first >= count) return;
    int o = (int)(first % outputs);
    if (outputs % 4 == 0 && aligned16(y, bias)) {   // then the four are of one row, and all are there
        float v[4], b[4];
        load4(v, y + first);
        load4(b, bias + o);
        for (int i = 0; i < 4; i++) v[i] += b[i];
        store4(y + first, v);
        return;
    }
    for (int i = 0; i < 4 && first + i < count; i++) {
        y[first + i] = from_float<T>(to_float(y[first + i]) + bias[o]);
        if (++o == outputs) o = 0;
    }
}
QS_KERNEL(bias_add)

extern "C" __global__ void __launch_bounds__(256) QS_NAME(column_sum)(const T* dy, float* partial, int rows, int outputs, int rowsPerPart) {
    QS_SHARED(float, sums, 256);
    int o = blockIdx.x * 32 + threadIdx.x % 32, strip = threadIdx.x / 32;
    int begin = blockIdx.y * rowsPerPart, end = min(rows, begin + rowsPerPart);
    float s = 0;
    if (o < outputs)
        for (int n = begin + strip; n < end; n += 8) s += to_float(dy[(size_t)n * outputs + o]);
    sums[threadIdx.x] = s;
    __syncthreads();
    if (strip == 0 && o < outputs) {
        for (int k = 1; k < 8; k++) s += sums[k * 32 + threadIdx.x];
        partial[(size_t)blockIdx.y * outputs + o] = s;
    }
}
QS_KERNEL(column_sum)
