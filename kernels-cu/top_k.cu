// top_k: the K highest logits of each row, highest first, ties lower id first, NaN as −∞. The K-th highest by radix selection
// (select.cuh), the tokens that are in gathered as 64-bit keys that order as the result does, and those sorted in shared memory
// (bitonic, Batcher 1968).
//   top_k: a row a block.
//   top_k_chunks, top_k_merge: a chunk of 4096 tokens a block, then a row a block over the keys of its chunks, so that one long row
//     fills the card. Keys carry the whole order, so both ways give the same.
// Floor: a read of the logits; the three passes but the first hit L2.
// variants: none
#include "select.cuh"

// Every score once, by score; or every tie with one, by token, the lowest highest.
template <class Add> struct AddOne {
    Add add;
    __device__ __forceinline__ void operator()(float score, int, int) const { add(ordered(score), 1); }
};
template <bool Ties> struct CountScores {
    RowScores row;
    float threshold;
    template <class Add> __device__ __forceinline__ void operator()(Add add) const {
        if constexpr (Ties) row(AddTie<Add>{add, threshold});
        else row(AddOne<Add>{add});
    }
};

// The keys of the k highest of a chunk's scores, in any order; tokens count from `first`. keys may be shared or global.
__device__ __forceinline__ void gather_top(const float* x, int columns, int first, int k, unsigned long long* keys) {
    QS_SHARED(Bins, bins, 1);
    QS_SHARED(int, found, 1);
    Selected cut = select(bins[0], k, CountScores<false>{{x, columns}, 0});
    float threshold = from_ordered(cut.key);
    int last_tie = columns;
    if (cut.above + cut.own > (unsigned)k)
        last_tie = (int)~select(bins[0], k - cut.above, CountScores<true>{{x, columns}, threshold}).key;
    if (threadIdx.x == 0) found[0] = 0;
    __syncthreads();
    RowScores{x, columns}([&](float score, int token, int) {
        if (score > threshold || (score == threshold && token <= last_tie)) keys[atomicAdd(&found[0], 1)] = order_key(score, first + token);
    });
}

// Sorts `padded` keys in shared memory, a power of two, the highest first.
__device__ __forceinline__ void sort_keys(unsigned long long* keys, int padded) {
    for (int size = 2; size <= padded; size *= 2)
        for (int distance = size / 2; distance; distance /= 2) {
            __syncthreads();
            for (int i = threadIdx.x; i < padded; i += blockDim.x) {
                int other = i ^ distance;
                bool descending = (i & size) == 0;
                if (other < i || (keys[i] < keys[other]) != descending) continue;
                unsigned long long swap = keys[i];
                keys[i] = keys[other];
                keys[other] = swap;
            }
        }
    __syncthreads();
}

__device__ __forceinline__ void write_top(const float* x, const unsigned long long* keys, int k, int* ids, float* values) {
    for (int i = threadIdx.x; i < k; i += blockDim.x) {
        ids[(size_t)blockIdx.x * k + i] = (int)key_index(keys[i]);
        if (values) values[(size_t)blockIdx.x * k + i] = x[key_index(keys[i])] == QS_INFINITY ? QS_INFINITY : key_value(keys[i]);
    }
}

extern "C" __global__ void __launch_bounds__(1024) QS_NAME(top_k)(
    const float* logits, int* ids, float* values, int columns, int k, int padded) {
    QS_DYN_SHARED(unsigned long long, keys);   // [padded], the next power of two from k
    const float* x = logits + (size_t)blockIdx.x * columns;
    for (int i = threadIdx.x; i < padded; i += blockDim.x) keys[i] = 0;
    gather_top(x, columns, 0, k, keys);
    sort_keys(keys, padded);
    write_top(x, keys, k, ids, values);
}
QS_KERNEL(top_k)

enum { CHUNK = 4096 };

// keys: [rows, chunks, k]; those that the last chunk has too few tokens for are 0, below any token's.
extern "C" __global__ void __launch_bounds__(1024) QS_NAME(top_k_chunks)(
    const float* logits, unsigned long long* keys, int columns, int k) {
    int first = blockIdx.y * CHUNK, count = min(CHUNK, columns - first), taken = min(k, count);
    unsigned long long* own = keys + ((size_t)blockIdx.x * gridDim.y + blockIdx.y) * k;
    for (int i = taken + threadIdx.x; i < k; i += blockDim.x) own[i] = 0;
    gather_top(logits + (size_t)blockIdx.x * columns + first, count, first, taken, own);
}
QS_KERNEL(top_k_chunks)

extern "C" __global__ void __launch_bounds__(1024) QS_NAME(top_k_merge)(
    const float* logits, const unsigned long long* keys, int* ids, float* values, int columns, int k, int listed, int padded) {
    QS_DYN_SHARED(unsigned long long, sorted);   // [padded], the next power of two from `listed`: the keys of all chunks
    for (int i = threadIdx.x; i < padded; i += blockDim.x) sorted[i] = i < listed ? keys[(size_t)blockIdx.x * listed + i] : 0;
    sort_keys(sorted, padded);
    write_top(logits + (size_t)blockIdx.x * columns, sorted, k, ids, values);
}
QS_KERNEL(top_k_merge)
