// add: y = a + b, element by element; y may be a or b. Eight elements a thread.
// Floor: two reads and one write of the tensor.
// variants: T=float | T=bf16
#include "qs.cuh"

extern "C" __global__ void __launch_bounds__(256) QS_NAME(add)(const T* a, const T* b, T* y, long long count) {
    long long at = 8 * ((long long)blockIdx.x * blockDim.x + threadIdx.x), left = count - at;
    if (left <= 0) return;
    bool wide = left >= 8 && aligned16(a, b, y);
    float u[8], v[8];
    load_part(u, a + at, wide, left);
    load_part(v, b + at, wide, left);
    for (int i = 0; i < 8; i++) u[i] += v[i];
    store_part(y + at, u, wide, left);
}
QS_KERNEL(add)
