// kv_write: keys and values of new tokens go into the cache, queries and keys turned by their positions where the model has RoPE.
// A block is one token: queries are turned in place, key[r, length + s] = turned qkv[r, s, keys], and value likewise, unturned.
// 16 bytes a thread where rows allow. See rope.cuh.
// Floor: 4 G D sizeof(T) bytes a token, half of them read, half written; with RoPE 2 H D sizeof(T) more for the queries.
// variants: T=float | T=bf16
#include "rope.cuh"

__device__ __forceinline__ void copy_column(const T* from, T* to, int column) {
    enum { PER = 16 / sizeof(T) };
    if (column % PER == 0 && aligned16(from, to)) {
        for (int i = threadIdx.x; i < column / PER; i += blockDim.x)
            reinterpret_cast<uint4*>(to)[i] = reinterpret_cast<const uint4*>(from)[i];
    } else {
        for (int i = threadIdx.x; i < column; i += blockDim.x) to[i] = from[i];
    }
}

extern "C" __global__ void __launch_bounds__(256) QS_NAME(kv_write)(
    T* qkv, const int* positions, const float* frequencies, const int* lengths, const int* counts, T* keys, T* values,
    int tokens, int capacity, int heads, int kv_heads, int head_dim) {
    QS_DYN_SHARED(float, angles);                              // empty without positions
    int r = blockIdx.x / tokens, s = blockIdx.x % tokens, column = kv_heads * head_dim;
    if (counts && s >= counts[r]) return;
    T* query = qkv + (long long)blockIdx.x * (heads + 2 * kv_heads) * head_dim;
    const T* key = query + heads * head_dim;
    long long to = ((long long)r * capacity + lengths[r] + s) * column;
    if (positions) {
        find_angles(angles, frequencies, head_dim, positions[blockIdx.x]);
        turn_heads(query, query, heads, head_dim, angles);
        turn_heads(key, keys + to, kv_heads, head_dim, angles);
    } else copy_column(key, keys + to, column);
    copy_column(key + column, values + to, column);
}
QS_KERNEL(kv_write)
