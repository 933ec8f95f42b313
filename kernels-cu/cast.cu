// cast: y = x in another type, to nearest with ties to even where it loses bits. Eight elements a thread.
// Floor: one read and one write, 6 bytes an element.
// variants: T=float W=bf16 | T=bf16 W=float
#include "qs.cuh"

extern "C" __global__ void __launch_bounds__(256) QS_NAME(cast)(const T* x, W* y, long long count) {
    long long at = 8 * ((long long)blockIdx.x * blockDim.x + threadIdx.x), left = count - at;
    if (left <= 0) return;
    bool wide = left >= 8 && aligned16(x, y);
    float v[8];
    load_part(v, x + at, wide, left);
    store_part(y + at, v, wide, left);
}
QS_KERNEL(cast)
