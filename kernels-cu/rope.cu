// rope: turns elements i and i + D/2 of the first `heads` heads of a row by the angle position · frequencies[i], in place
// (Su et al. 2021; half-split pairs). A row a block; direction: 1, or −1 for the inverse. See rope.cuh.
// Floor: a read and a write of the turned columns.
// variants: T=float | T=bf16
#include "rope.cuh"

extern "C" __global__ void __launch_bounds__(256) QS_NAME(rope)(
    T* qkv, int width, int heads, int head_dim, const int* positions, const float* frequencies, int direction) {
    QS_DYN_SHARED(float, angles);
    find_angles(angles, frequencies, head_dim, (double)direction * positions[blockIdx.x]);
    T* row = qkv + (size_t)blockIdx.x * width;
    turn_heads(row, row, heads, head_dim, angles);
}
QS_KERNEL(rope)
