// fill: every 32-bit element of x becomes `bits`. Four elements a thread, a block apart, so that a warp writes 128 bytes in a row.
// variants: none
#include "qs.cuh"

extern "C" __global__ void __launch_bounds__(256) QS_NAME(fill)(int* x, int bits, long long count) {
    long long first = (long long)blockIdx.x * 4 * blockDim.x + threadIdx.x;
    for (int i = 0; i < 4; i++) {
        long long at = first + i * blockDim.x;
        if (at < count) x[at] = bits;
    }
}
QS_KERNEL(fill)
