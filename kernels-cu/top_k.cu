// top_k: the K highest logits of each row, highest first, ties lower id first, NaN as −∞. A row a block: the K-th highest by
// radix selection (select.cuh), the tokens that are in gathered as 64-bit keys that order as the result does, and those sorted
// in shared memory (bitonic, Batcher 1968). Floor: a read of the logits; the three passes but the first hit L2.
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

extern "C" __global__ void __launch_bounds__(1024) QS_NAME(top_k)(
    const float* logits, int* ids, float* values, int columns, int k, int padded) {
    QS_DYN_SHARED(unsigned long long, keys);   // [padded], the next power of two from k
    QS_SHARED(Bins, bins, 1);
    QS_SHARED(int, found, 1);
    const float* x = logits + (size_t)blockIdx.x * columns;
    Selected cut = select(bins[0], k, CountScores<false>{{x, columns}, 0});
    float threshold = from_ordered(cut.key);
    int last_tie = columns;
    if (cut.above + cut.own > (unsigned)k)
        last_tie = (int)~select(bins[0], k - cut.above, CountScores<true>{{x, columns}, threshold}).key;
    if (threadIdx.x == 0) found[0] = 0;
    for (int i = threadIdx.x; i < padded; i += blockDim.x) keys[i] = 0;
    __syncthreads();
    RowScores{x, columns}([&](float score, int token, int) {
        if (score > threshold || (score == threshold && token <= last_tie)) keys[atomicAdd(&found[0], 1)] = order_key(score, token);
    });
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
    for (int i = threadIdx.x; i < k; i += blockDim.x) {
        ids[(size_t)blockIdx.x * k + i] = (int)key_index(keys[i]);
        if (values) values[(size_t)blockIdx.x * k + i] = x[key_index(keys[i])] == QS_INFINITY ? QS_INFINITY : key_value(keys[i]);
    }
}
QS_KERNEL(top_k)
