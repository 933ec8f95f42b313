// planted: kernels with one fault each, which the checker must name, and correct ones, of which it must not complain.
// x: 256 floats. Two blocks, of 64 or 32 threads.
// variants: none
#include "qs.cuh"

#define PLANTED(name) extern "C" __global__ void QS_NAME(name)(float* x)

PLANTED(correct) {
    QS_SHARED(float, s, 64);
    int i = threadIdx.x;
    s[i] = x[i];
    __syncthreads();
    x[128 + blockIdx.x * 64 + i] = s[63 - i];
}
QS_KERNEL(correct)

PLANTED(correct_atomics) { atomicAdd(x, 1.0f); }
QS_KERNEL(correct_atomics)

// The last block to arrive adds up what all wrote: a fence before its arrival, and one after.
PLANTED(correct_last_block) {
    QS_SHARED(int, last, 1);
    x[128 + blockIdx.x * 64 + threadIdx.x] = 1;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();
        last[0] = atomicAdd(x, 1.0f) == gridDim.x - 1;
        __threadfence();
    }
    __syncthreads();
    if (last[0]) x[64 + threadIdx.x] = x[128 + threadIdx.x] + x[192 + threadIdx.x];
}
QS_KERNEL(correct_last_block)

PLANTED(last_block_without_fence) {
    QS_SHARED(int, last, 1);
    x[128 + blockIdx.x * 64 + threadIdx.x] = 1;
    __syncthreads();
    if (threadIdx.x == 0) last[0] = atomicAdd(x, 1.0f) == gridDim.x - 1;
    __syncthreads();
    if (last[0]) x[64 + threadIdx.x] = x[128 + threadIdx.x] + x[192 + threadIdx.x];
}
QS_KERNEL(last_block_without_fence)

PLANTED(correct_copies) {
    QS_SHARED(float, s, 128);
    int i = threadIdx.x;
    cp_async16(s + 4 * i, x + 4 * i);
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
    x[128 + blockIdx.x * 32 + i] = s[127 - i];
}
QS_KERNEL(correct_copies)

PLANTED(missing_barrier) {
    QS_SHARED(float, s, 64);
    int i = threadIdx.x;
    s[i] = 0;
    __syncthreads();
    s[i] = x[i];
    float v = s[63 - i];
    if (v == -1) x[i] = v;
}
QS_KERNEL(missing_barrier)

PLANTED(missing_first_barrier) {
    QS_SHARED(float, s, 64);
    int i = threadIdx.x;
    s[i] = x[i];
    float v = s[63 - i];
    if (v == -1) x[i] = v;
}
QS_KERNEL(missing_first_barrier)

PLANTED(missing_syncwarp) {
    QS_SHARED(float, s, 32);
    int i = threadIdx.x;
    s[i] = 0;
    __syncwarp();
    s[i] = x[i];
    float v = s[i ^ 1];
    if (v == -1) x[i] = v;
}
QS_KERNEL(missing_syncwarp)

// A shuffle orders no memory.
PLANTED(shuffle_for_syncwarp) {
    QS_SHARED(float, s, 32);
    int i = threadIdx.x;
    s[i] = 0;
    __syncwarp();
    s[i] = x[i];
    float v = __shfl_xor_sync(FULL_WARP, s[i], 1) + s[i ^ 1];
    if (v == -1) x[i] = v;
}
QS_KERNEL(shuffle_for_syncwarp)

PLANTED(two_blocks) { x[threadIdx.x] = 1; }
QS_KERNEL(two_blocks)

PLANTED(two_blocks_bytes) { reinterpret_cast<unsigned char*>(x)[threadIdx.x] = 1; }
QS_KERNEL(two_blocks_bytes)

// Neighbouring bytes are no conflict.
PLANTED(correct_bytes) { reinterpret_cast<unsigned char*>(x)[blockIdx.x * 64 + threadIdx.x] = 1; }
QS_KERNEL(correct_bytes)

PLANTED(read_then_write) {
    QS_SHARED(float, s, 64);
    int i = threadIdx.x;
    s[i] = x[i];
    __syncthreads();
    float v = s[63 - i];
    s[i] = v;
}
QS_KERNEL(read_then_write)

PLANTED(shared_overflow) {
    QS_SHARED(float, s, 64);
    s[threadIdx.x + 1] = 0;
}
QS_KERNEL(shared_overflow)

PLANTED(global_overflow) { if (blockIdx.x == 0) x[threadIdx.x + 193] = 1; }
QS_KERNEL(global_overflow)

PLANTED(global_underflow) { if (blockIdx.x == 0) x[(int)threadIdx.x - 1] = 1; }
QS_KERNEL(global_underflow)

PLANTED(uninitialised) {
    QS_SHARED(float, s, 65);
    s[threadIdx.x] = 1;
    __syncthreads();
    if (s[threadIdx.x + 1] == 3) x[0] = 1;
}
QS_KERNEL(uninitialised)

PLANTED(misaligned) {
    float4 v = *reinterpret_cast<float4*>(x + threadIdx.x);
    if (v.x == -1) x[0] = v.y;
}
QS_KERNEL(misaligned)

PLANTED(divergent_barrier) {
    if (threadIdx.x < 32) { __syncthreads(); }
    else {
        __syncthreads();
    }
    if (x[0] < 0) x[1] = 0;
}
QS_KERNEL(divergent_barrier)

PLANTED(early_return) {
    if (threadIdx.x == 5) return;
    __syncthreads();
    if (x[0] < 0) x[1] = 0;
}
QS_KERNEL(early_return)

PLANTED(absent_lanes) {
    if (threadIdx.x >= 16) return;
    float v = __shfl_xor_sync(FULL_WARP, x[0], 1);
    if (v < 0) x[1] = v;
}
QS_KERNEL(absent_lanes)

PLANTED(missing_wait) {
    QS_SHARED(float, s, 128);
    int i = threadIdx.x;
    cp_async16(s + 4 * i, x + 4 * i);
    cp_async_commit();
    if (s[4 * i] < 0) x[0] = 1;
}
QS_KERNEL(missing_wait)

// Waited for by each thread, but no barrier before the copies of others are read.
PLANTED(missing_barrier_after_wait) {
    QS_SHARED(float, s, 128);
    int i = threadIdx.x;
    for (int e = 0; e < 4; e++) s[4 * i + e] = 0;
    __syncthreads();
    cp_async16(s + 4 * i, x + 4 * i);
    cp_async_commit();
    cp_async_wait<0>();
    if (s[4 * (31 - i)] < 0) x[0] = 1;
}
QS_KERNEL(missing_barrier_after_wait)

PLANTED(null_pointer) {
    float* p = x[1] < 0 ? x : nullptr;
    *p = 1;
}
QS_KERNEL(null_pointer)

PLANTED(trap) { if (threadIdx.x == 3) __trap(); }
QS_KERNEL(trap)

extern "C" __global__ void __launch_bounds__(64) QS_NAME(bounded)(float* x) { if (threadIdx.x == 0) x[0] = 1; }
QS_KERNEL(bounded)
