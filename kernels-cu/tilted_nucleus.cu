// tilted_nucleus: the top-p cut of tilted_sample (select.cuh), of π_ref's own scores or, in the official order, of the tilted ones; a
// row a block. Three passes over the logits, of which L2 has most; not run without top-p.
// variants: none
#include "tilted_row.cuh"

extern "C" __global__ void __launch_bounds__(1024) QS_NAME(tilted_nucleus)(
    const float* logits, const int* candidates, const float* valueLogits, const float* weights, int weightStride,
    const float* prefixTilt, const Part* parts, int chunks, int tilt, int atoms, float low, float high, float lambda, int outside,
    float scale, float topP, int tiltsFirst, Support* supports, int columns, int slots) {
    QS_DYN_SHARED(float, tilts);   // [slots]
    QS_SHARED(Bins, bins, 1);
    int row = blockIdx.x;
    ListedRow listed = {logits + (size_t)row * columns, columns, candidates + (size_t)row * slots, slots};
    parts += (size_t)row * chunks;
    Law law = {tilt, atoms, low, high, lambda, outside, row_of(weights, weightStride, row)};
    tilts_of(valueLogits + (size_t)row * slots * atoms, slots, law, tilts);
    __syncthreads();
    auto there = [&](int k) { return listed.there(k); };
    float top = highest_part(parts, chunks), origin = top;
    int count = listed.count(origin);
    if (origin == -QS_INFINITY) {
        if (threadIdx.x == 0) supports[row] = {-QS_INFINITY, -1};
        return;
    }
    double log_tail = log_parts(parts, chunks, origin, scale);
    auto weight = [&](int k) { return there(k) ? ((double)listed.logit(k) - origin) * scale : -QS_INFINITY; };
    double log_all = block_log_sum(slots, log_tail, weight);
    PatchedScores scores = {listed, tilts, tiltsFirst && count > 0, true, 0};
    if (scores.patched) {
        float prefix = prefixTilt ? prefixTilt[row] : __int_as_float(0x7fc00000);
        double gain = tilt_outside(law, slots, log_tail - log_all, prefix, there,
            [&](int k) { return weight(k) - log_all; }, tilts).tilt;
        scores.open = gain > -QS_INFINITY;
        scores.shift = scores.open ? gain : 0;
        origin = scores.open ? top : -QS_INFINITY;
        for (int k = threadIdx.x; k < slots; k += blockDim.x)
            if (there(k)) origin = fmaxf(origin, scores.order(k));
        origin = block_max(origin);
        log_all = block_log_sum(slots, scores.open ? log_parts(parts, chunks, origin, scale) : -QS_INFINITY,
            [&](int k) { return there(k) ? ((double)scores.order(k) - origin) * scale : -QS_INFINITY; });
    }
    Nucleus cut = nucleus(bins[0], origin, exp(log_all), scale, topP, columns, scores);
    if (threadIdx.x == 0) supports[row] = cut.support;
}
QS_KERNEL(tilted_nucleus)
