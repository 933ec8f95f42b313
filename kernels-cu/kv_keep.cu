// kv_keep: the column of the chosen sibling moves to the first free one. A block is one row; 16 bytes a thread where columns allow.
// Floor: 4 G D sizeof(T) bytes a row, half of them read, half written.
// variants: T=float | T=bf16
#include "qs.cuh"

template <class E> __device__ __forceinline__ void move_column(E* x, long long to, long long from, int column) {
    for (int i = threadIdx.x; i < column; i += blockDim.x) x[to + i] = x[from + i];
}

extern "C" __global__ void __launch_bounds__(256) QS_NAME(kv_keep)(
    T* keys, T* values, const int* lengths, const int* chosen, int capacity, int column) {
    int r = blockIdx.x;
    if (chosen[r] <= 0) return;                                // none was chosen, or it lies there already
    enum { PER = 16 / sizeof(T) };
    bool wide = column % PER == 0;
    int width = wide ? column / PER : column;
    long long to = ((long long)r * capacity + lengths[r]) * width, from = to + (long long)chosen[r] * width;
    if (wide) {
        move_column(reinterpret_cast<uint4*>(keys), to, from, width);
        move_column(reinterpret_cast<uint4*>(values), to, from, width);
    } else {
        move_column(keys, to, from, width);
        move_column(values, to, from, width);
    }
}
QS_KERNEL(kv_keep)
