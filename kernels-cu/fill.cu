// fill: the four bytes of `bits`, again and again: every element of four bytes, or pairs of equal elements of two. Sizes are
// in halves of four bytes, eight a thread, written as 16 bytes where the address allows it. Floor: one write of the tensor.
// variants: none
#include "qs.cuh"

extern "C" __global__ void __launch_bounds__(256) QS_NAME(fill)(unsigned short* x, int bits, long long count) {
    long long at = 8 * ((long long)blockIdx.x * blockDim.x + threadIdx.x);
    if (at + 8 <= count && aligned16(x)) {
        *reinterpret_cast<int4*>(x + at) = make_int4(bits, bits, bits, bits);
        return;
    }
    for (long long i = at; i < at + 8 && i < count; i++) x[i] = (unsigned short)((unsigned)bits >> (i % 2 * 16));
}
QS_KERNEL(fill)
