// tilted_row.cuh - what the kernels of tilted_sample share of a row: its chunks and their sums, its candidates, and its scores with
// the candidates' tilts in them. Block-wide functions here must be called by all threads of the block.
#pragma once
#include "select.cuh"
#include "tilt.cuh"

enum { CHUNK = 4096 };   // always the same tokens together, so a row's result depends on no other row

// Of the tokens of a chunk that are no candidates: the highest logit and, relative to it, Σ exp(·scale) and the best score + noise.
struct Part { float max, sum, score; int token; };   // token −1: none has weight

// Maximum of a row over its chunks, and ln Σ exp((x − origin)·scale), over the tokens that are no candidates.
__device__ __forceinline__ float highest_part(const Part* parts, int count) {
    float max = -QS_INFINITY;
    for (int c = threadIdx.x; c < count; c += blockDim.x) max = fmaxf(max, parts[c].max);
    return block_max(max);
}
__device__ __forceinline__ double log_parts(const Part* parts, int count, float origin, float scale) {
    double sum = 0;
    for (int c = threadIdx.x; c < count; c += blockDim.x)
        if (parts[c].max > -QS_INFINITY) sum += parts[c].sum * exp(((double)parts[c].max - origin) * scale);
    sum = block_sum(sum);
    return sum > 0 ? log(sum) : -QS_INFINITY;
}

// A row of logits and its candidates; a slot whose id is no token of the row is empty.
struct ListedRow {
    const float* x;
    int columns;
    const int* candidates;
    int slots;
    __device__ __forceinline__ bool there(int k) const { return (unsigned)candidates[k] < (unsigned)columns; }
    __device__ __forceinline__ float logit(int k) const { return clean(x[candidates[k]]); }
    // How many slots hold a token; `origin` rises to their highest logit.
    __device__ __forceinline__ int count(float& origin) const {
        int count = 0;
        for (int k = threadIdx.x; k < slots; k += blockDim.x)
            if (there(k)) {
                origin = fmaxf(origin, logit(k));
                count++;
            }
        origin = block_max(origin);
        return block_sum(count);
    }
};

// A row with the candidates' scores replaced: theirs are taken back and the new ones given. The order of the others is their logit's,
// since the new scores are those of ℓ + g less the tilt outside (`shift`). Not open: the others cannot be drawn.
struct PatchedScores {
    ListedRow row;
    const float* tilts;
    bool patched, open;
    double shift;
    __device__ __forceinline__ float order(int k) const {
        float score = row.logit(k);
        return patched ? clean((float)(score + (tilts[k] - shift))) : score;
    }
    template <class Visit> __device__ __forceinline__ void operator()(Visit visit) const {
        if (open) RowScores{row.x, row.columns}(visit);
        if (!patched) return;
        for (int k = threadIdx.x; k < row.slots; k += blockDim.x) {
            if (!row.there(k)) continue;
            if (open) visit(row.logit(k), row.candidates[k], -1);
            visit(order(k), row.candidates[k], 1);
        }
    }
};
