// rows.cuh - what kernels that take one row of scores a block share: clean scores, and the softmax's maximum and sum in one
// pass. All block-wide functions here must be called by all threads of the block.
#pragma once
#include "qs.cuh"

#define QS_LARGEST_FLOAT 3.402823466e38f

// A score as all of decoding takes it: NaN is −∞, +∞ the largest float, −0 is 0.
__device__ __forceinline__ float clean(float x) { return x == x ? fminf(x, QS_LARGEST_FLOAT) + 0.0f : -QS_INFINITY; }

// Bits whose order as unsigned numbers is the order of the floats, and back.
__device__ __forceinline__ unsigned ordered(float x) {
    unsigned u = __float_as_uint(x);
    return (u & 0x80000000u) ? ~u : (u | 0x80000000u);
}
__device__ __forceinline__ float from_ordered(unsigned u) { return __uint_as_float((u & 0x80000000u) ? (u & 0x7fffffffu) : ~u); }

// What a row without weight gives: its first token that is neither −∞ nor NaN; 0 if there is none. By a block.
__device__ __forceinline__ int first_legal(const float* x, int columns) {
    int least = columns;
    for (int i = threadIdx.x; i < columns && least == columns; i += blockDim.x)
        if (x[i] > -QS_INFINITY) least = i;
    least = -block_max(-least);
    return least < columns ? least : 0;
}

// Max and Σ exp((x − max)·scale) of what a thread has seen; a score of −∞ weighs exactly 0.
struct SoftmaxSum {
    float max, sum;
    __device__ __forceinline__ SoftmaxSum() : max(-QS_INFINITY), sum(0) {}

    template <int Count> __device__ __forceinline__ void add(const float (&x)[Count], float scale) {
        float top = x[0];
        for (int i = 1; i < Count; i++) top = fmaxf(top, x[i]);
        if (top > max) {
            sum *= expf((max - top) * scale);
            max = top;
        }
        if (max == -QS_INFINITY) {
            for (int i = 0; i < Count; i++) sum += x[i] == -QS_INFINITY ? 0 : x[i];   // a NaN must not vanish
            return;
        }
        for (int i = 0; i < Count; i++) sum += expf((x[i] - max) * scale);
    }

    // The block's, in a fixed order.
    __device__ __forceinline__ void reduce(float scale) {
        float top = block_max(max);
        sum = block_sum(max == -QS_INFINITY ? sum : sum * expf((max - top) * scale));
        max = top;
    }
};

// Σ exp(x) and Σ exp(x)·value of what a thread has seen, relative to the highest x; a value counts for nothing where x is −∞.
struct WeighedSum {
    float max = -QS_INFINITY, sum = 0, moment = 0;

    __device__ __forceinline__ void add(const float (&x)[4], const float (&values)[4]) {
        float top = fmaxf(fmaxf(x[0], x[1]), fmaxf(x[2], x[3]));
        if (top == -QS_INFINITY) {
            for (int i = 0; i < 4; i++) sum += x[i] == -QS_INFINITY ? 0 : x[i];   // a NaN must not vanish
            return;
        }
        if (top > max) {
            float shrink = expf(max - top);
            sum *= shrink;
            moment *= shrink;
            max = top;
        }
        for (int i = 0; i < 4; i++) {
            if (x[i] == -QS_INFINITY) continue;
            float weight = expf(x[i] - max);
            sum += weight;
            moment += weight * values[i];
        }
    }

    // The block's, in a fixed order.
    __device__ __forceinline__ void reduce() {
        float top = block_max(max), shrink = max == -QS_INFINITY ? 0 : expf(max - top);
        sum = block_sum(sum * shrink);
        moment = block_sum(moment * shrink);
        max = top;
    }
};

// Elements of a row as floats, Count a thread and step; f(first index, values), where those past the end are −∞.
template <int Count, class Type, class Visit> __device__ __forceinline__ void for_row(const Type* x, int count, Visit visit) {
    bool wide = count % Count == 0 && aligned16(x);
    for (int i = Count * threadIdx.x; i < count; i += Count * blockDim.x) {
        float v[Count];
        load_part(v, x + i, wide, count - i);
        if (i + Count > count)
            for (int k = 0; k < Count; k++)
                if (i + k >= count) v[k] = -QS_INFINITY;
        visit(i, v);
    }
}

// The clean scores of a row: calls visit(score, token, 1) for each of the thread's.
struct RowScores {
    const float* x;
    int columns;
    template <class Visit> __device__ __forceinline__ void operator()(Visit visit) const {
        bool wide = columns % 4 == 0 && aligned16(x);
        for (int c = 4 * threadIdx.x; c < columns; c += 4 * blockDim.x) {
            float v[4];
            load_part(v, x + c, wide, columns - c);
            for (int i = 0; i < 4; i++)
                if (c + i < columns) visit(clean(v[i]), c + i, 1);
        }
    }
};
