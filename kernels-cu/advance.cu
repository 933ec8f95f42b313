// advance: lengths[r] += counts[r], or `by` where counts are null. One row a thread.
// variants: none
#include "qs.cuh"

extern "C" __global__ void __launch_bounds__(256) QS_NAME(advance)(int* lengths, const int* counts, int by, int rows) {
    int r = blockIdx.x * blockDim.x + threadIdx.x;
    if (r < rows) lengths[r] += counts ? counts[r] : by;
}
QS_KERNEL(advance)
