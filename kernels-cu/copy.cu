// copy: destination = source, for elements of 2 or 4 bytes, which are moved as halves of 4. Eight halves a thread, as 16
// bytes where both addresses allow it. Floor: one read and one write of the tensor.
// variants: none
#include "qs.cuh"

extern "C" __global__ void __launch_bounds__(256) QS_NAME(copy)(const unsigned short* source, unsigned short* destination, long long count) {
    long long at = 8 * ((long long)blockIdx.x * blockDim.x + threadIdx.x);
    if (at + 8 <= count && aligned16(source, destination)) {
        *reinterpret_cast<uint4*>(destination + at) = *reinterpret_cast<const uint4*>(source + at);
        return;
    }
    for (long long i = at; i < at + 8 && i < count; i++) destination[i] = source[i];
}
QS_KERNEL(copy)
