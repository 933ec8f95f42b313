// add: y = a + b, element by element; y may be a or b.
// variants: T=float | T=bf16
#include "qs.cuh"

extern "C" __global__ void __launch_bounds__(256) QS_NAME(add)(const T* a, const T* b, T* y, long long count) {
    long long first = (long long)blockIdx.x * 4 * blockDim.x + threadIdx.x;
    for (int i = 0; i < 4; i++) {
        long long at = first + i * blockDim.x;
        if (at < count) y[at] = from_float<T>(to_float(a[at]) + to_float(b[at]));
    }
}
QS_KERNEL(add)
