// select.cuh - radix selection without a sort, by a block of 1024 threads: which of 32-bit keys, taken from the highest down,
// is the one with which the sum of their weights reaches a target. Three passes over the keys, of 11, 11 and 10 bits, each
// adding up the weights by the next bits of the keys that share the bits found so far. Weights are 64-bit integers, so the
// sums are exact and their order does not matter. nucleus() is the top-p set by it (Holtzman et al. 2020).
#pragma once
#include "rows.cuh"

enum { SELECT_THREADS = 1024, SELECT_BINS = 2048 };

// Sums of 64 bits in two words: shared memory adds words by itself, but 64 bits only by trying again.
struct Bins { unsigned low[SELECT_BINS], high[SELECT_BINS]; };

__device__ __forceinline__ void add_weight(Bins& bins, unsigned bin, unsigned long long weight) {
    unsigned low = (unsigned)weight, high = (unsigned)(weight >> 32);
    if (low && atomicAdd(&bins.low[bin], low) + low < low) high++;   // the carry
    if (high) atomicAdd(&bins.high[bin], high);
}

// The key at the target, the weight of all keys above it, and its own; not found where all together do not reach the target.
struct Selected { unsigned key; unsigned long long above, own; bool found; };

// What the items of a pass are given to: adds those to the bins whose upper bits are the ones found so far.
struct BinPass {
    Bins& bins;
    unsigned prefix;
    int shift, bits;
    __device__ __forceinline__ void operator()(unsigned key, unsigned long long weight) const {
        if (shift + bits == 32 || key >> (shift + bits) == prefix) add_weight(bins, key >> shift & ((1u << bits) - 1), weight);
    }
};

// items(f) calls f(key, weight) for each of the thread's items; a weight may be taken back by adding 2⁶⁴ − weight. (Functors
// here, since NVRTC takes a generic lambda within another for a host function.)
template <class Items> __device__ __forceinline__ Selected select(Bins& bins, unsigned long long target, Items items) {
    QS_SHARED(unsigned long long, warp_totals, 32);
    QS_SHARED(unsigned long long, result, 3);   // the bin, the weight above it, its own; bin ~0: not found
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    unsigned prefix = 0;
    unsigned long long above = 0, own = 0;
    for (int level = 0; level < 3; level++) {
        int shift = level == 0 ? 21 : level == 1 ? 10 : 0, bits = level == 2 ? 10 : 11;
        for (int i = threadIdx.x; i < SELECT_BINS; i += SELECT_THREADS) bins.low[i] = bins.high[i] = 0;
        if (threadIdx.x == 0) result[0] = ~0ull;
        __syncthreads();
        items(BinPass{bins, prefix, shift, bits});
        __syncthreads();
        // Two bins a thread, the highest first: the sums of all before them, by warp and then over the warps.
        int bin = SELECT_BINS - 1 - 2 * threadIdx.x;
        unsigned long long first = (unsigned long long)bins.high[bin] << 32 | bins.low[bin];
        unsigned long long second = (unsigned long long)bins.high[bin - 1] << 32 | bins.low[bin - 1], sum = first + second;
        for (int d = 1; d < 32; d <<= 1) {
            unsigned long long other = __shfl_up_sync(FULL_WARP, sum, d);
            if (lane >= d) sum += other;
        }
        if (lane == 31) warp_totals[warp] = sum;
        __syncthreads();
        unsigned long long before = above + sum - first - second;
        for (int w = 0; w < warp; w++) before += warp_totals[w];
        if (before < target && before + first + second >= target) {
            bool is_first = before + first >= target;
            result[0] = is_first ? bin : bin - 1;
            result[1] = is_first ? before : before + first;
            result[2] = is_first ? first : second;
        }
        __syncthreads();
        if (result[0] == ~0ull) return {0, 0, 0, false};
        prefix = prefix << bits | (unsigned)result[0];
        above = result[1];
        own = result[2];
        __syncthreads();   // before the next pass writes there again
    }
    return {prefix, above, own, true};
}

// The tokens that may be drawn, as a cut in the order of scores: all above the threshold, and those equal to it up to a token.
struct Support {
    float threshold;
    int last_tie;
    __device__ __forceinline__ bool all() const { return threshold == -QS_INFINITY; }
    __device__ __forceinline__ bool holds(float score, int token) const {
        return score > threshold || (score == threshold && token <= last_tie);
    }
};

struct Nucleus { Support support; double mass; };   // mass: that of the set, of the sum given
#define NUCLEUS_ONE 17592186044416.0                /* 2⁴⁴: weights are at most 1, and fewer than 2²⁰ */

// exp((score − max)·scale) in 2⁻⁴⁴.
struct Weigh {
    float max, scale;
    __device__ __forceinline__ unsigned long long operator()(float score) const {
        return (unsigned long long)((double)fminf(expf((score - max) * scale), 1) * NUCLEUS_ONE + 0.5);
    }
};
template <class Add> struct AddScore {
    Add add;
    Weigh weigh;
    float floor;
    __device__ __forceinline__ void operator()(float score, int, int sign) const {
        if (score >= floor) add(ordered(score), sign < 0 ? 0 - weigh(score) : weigh(score));
    }
};
template <class Add> struct AddTie {
    Add add;
    float threshold;
    __device__ __forceinline__ void operator()(float score, int token, int sign) const {
        if (score == threshold) add(~(unsigned)token, sign < 0 ? ~0ull : 1);
    }
};
template <class Scores> struct ScoreItems {
    Scores scores;
    Weigh weigh;
    float floor;
    template <class Add> __device__ __forceinline__ void operator()(Add add) const { scores(AddScore<Add>{add, weigh, floor}); }
};
template <class Scores> struct TieItems {
    Scores scores;
    float threshold;
    template <class Add> __device__ __forceinline__ void operator()(Add add) const { scores(AddTie<Add>{add, threshold}); }
};

// The smallest set of the highest scores whose share of the sum Σ exp((score − max)·scale) is at least top_p, ties lower token
// first. scores(f) calls f(score, token, sign) for each of the thread's tokens; sign −1 takes one back that another call gave.
template <class Scores> __device__ __forceinline__ Nucleus nucleus(
    Bins& bins, float max, double sum, float scale, float top_p, int count, Scores scores) {
    Nucleus all = {{-QS_INFINITY, -1}, sum};
    if (top_p >= 1 || max == -QS_INFINITY) return all;
    // All tokens below this weight have together less than half of what may be left out, so the crossing is above it.
    float lightest = (float)(0.5 * (1 - (double)top_p) * sum / count);
    float floor = max + (logf(lightest) - 0.01f) / scale;
    Weigh weigh = {max, scale};
    unsigned long long target = (unsigned long long)ceil((double)top_p * sum * NUCLEUS_ONE);
    Selected cut = select(bins, target, ScoreItems<Scores>{scores, weigh, floor});
    if (!cut.found) return all;   // only by rounding, for p next to 1
    float threshold = from_ordered(cut.key);
    unsigned long long each = weigh(threshold), needed = (target - cut.above + each - 1) / each;
    int last_tie = 0x7fffffff;
    // Ties are cut by token: the one that is `needed`th from the lowest.
    if (needed * each < cut.own) last_tie = (int)~select(bins, needed, TieItems<Scores>{scores, threshold}).key;
    return {{threshold, last_tie}, (cut.above + needed * each) / NUCLEUS_ONE};
}

// The top-p set of a row of scores, and the sum of all of them.
struct RowNucleus { Nucleus kept; double sum; float max; };
__device__ __forceinline__ RowNucleus row_nucleus(Bins& bins, const float* x, int columns, float scale, float top_p) {
    SoftmaxSum softmax;
    for_row<4>(x, columns, [&](int, float (&v)[4]) {
        for (int i = 0; i < 4; i++) v[i] = clean(v[i]);
        softmax.add(v, scale);
    });
    softmax.reduce(scale);
    return {nucleus(bins, softmax.max, softmax.sum, scale, top_p, columns, RowScores{x, columns}), softmax.sum, softmax.max};
}
