// kv_write: keys and values of new tokens go into the cache; they lie side by side in a token's row of qkv.
// A block is one token: key[r, length + s] = qkv[r, s, keys], value likewise. 16 bytes a thread where rows allow.
// Floor: 4 G D sizeof(T) bytes a token, half of them read, half written.
// variants: T=float | T=bf16
#include "qs.cuh"

template <class E> __device__ __forceinline__ void copy_columns(const E* from, E* keys, E* values, int column) {
    for (int i = threadIdx.x; i < 2 * column; i += blockDim.x) {
        if (i < column) keys[i] = from[i];
        else values[i - column] = from[i];
    }
}

extern "C" __global__ void __launch_bounds__(256) QS_NAME(kv_write)(
    const T* qkv, const int* lengths, const int* counts, T* keys, T* values, int tokens, int capacity, int queries, int column) {
    int r = blockIdx.x / tokens, s = blockIdx.x % tokens;
    if (counts && s >= counts[r]) return;
    const T* from = qkv + (long long)blockIdx.x * (queries + 2 * column) + queries;
    long long to = ((long long)r * capacity + lengths[r] + s) * column;
    enum { PER = 16 / sizeof(T) };
    if (column % PER == 0 && queries % PER == 0)
        copy_columns(reinterpret_cast<const uint4*>(from), reinterpret_cast<uint4*>(keys + to),
                     reinterpret_cast<uint4*>(values + to), column / PER);
    else
        copy_columns(from, keys + to, values + to, column);
}
QS_KERNEL(kv_write)
