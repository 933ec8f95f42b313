// tilted_sample: one step of guided decoding: a draw from π(y|x) ∝ π_ref(y|x)·exp(g(x, y)) and what was drawn; the contract is in
// TiltedSample.cs. Three kernels, a file each; tilted_row.cuh has what they share:
//   tilted_chunks: a chunk of 4096 tokens a block: sums and the best score with noise of the tokens that are not candidates.
//   tilted_nucleus, with top-p only: the cut, a row a block; then tilted_chunks again, restricted to it.
//   tilted_finish, here: a row a block: merges the chunks in order, tilts the candidates, draws, writes the statistics.
// Floor of all three: one read of the logits, 4·B·V bytes.
// variants: none
#include "drawn.cuh"
#include "gumbel.cuh"
#include "tilted_row.cuh"

extern "C" __global__ void __launch_bounds__(128) QS_NAME(tilted_finish)(
    const float* logits, const int* candidates, const float* valueLogits, const float* weights, int weightStride,
    const float* prefixTilt, const int* streams, const int* positions, const Part* all, const Part* kept, const Support* supports,
    int chunks, int tilt, int atoms, float low, float high, float lambda, int outside, float scale, int tiltsFirst, int greedy,
    unsigned long long key, int* next, int* chosen, float* statistics, int columns, int slots, int listed) {
    QS_DYN_SHARED(float, tilts);   // [slots]; slots is 0 where unguided, `listed` is not
    int row = blockIdx.x, stream = streams[row], position = positions[row];
    const float* x = logits + (size_t)row * columns;
    candidates += (size_t)row * listed;
    all += (size_t)row * chunks;
    kept += (size_t)row * chunks;
    Law law = {tilt, atoms, low, high, lambda, outside, row_of(weights, weightStride, row)};
    tilts_of(valueLogits + (size_t)row * slots * atoms, slots, law, tilts);
    __syncthreads();
    ListedRow guided = {x, columns, candidates, slots};
    auto there = [&](int k) { return guided.there(k); };
    float origin = highest_part(all, chunks);
    int count = guided.count(origin), token = -1;
    double gain = 0, log_mass = 0, log_all = 0, log_normalizer = 0, kl = 0, residual = 0, tilt_scale = 1;
    if (origin > -QS_INFINITY) {
        // 1. Sums over all tokens, then those of the top-p set; ln q of the tokens outside in both.
        auto weight = [&](int k) { return there(k) ? ((double)guided.logit(k) - origin) * scale : -QS_INFINITY; };
        double log_tail = log_parts(all, chunks, origin, scale);
        log_all = block_log_sum(slots, log_tail, weight);
        bool first = tiltsFirst && count > 0;
        Support support = {-QS_INFINITY, -1};
        if (supports) support = supports[row];
        PatchedScores scores = {guided, tilts, first, true, 0};
        auto in = [&](int k) { return there(k) && support.holds(scores.order(k), candidates[k]); };
        auto kept_weight = [&](int k) { return in(k) ? weight(k) : -QS_INFINITY; };
        float prefix = prefixTilt ? prefixTilt[row] : __int_as_float(0x7fc00000);
        if (first) {
            // 2. The tilt of the tokens outside from all of q; top-p came after the tilt.
            OutsideTilt rest = tilt_outside(law, slots, log_tail - log_all, prefix, there,
                [&](int k) { return weight(k) - log_all; }, tilts);
            gain = rest.tilt;
            residual = rest.residual;
            scores.open = gain > -QS_INFINITY;
            scores.shift = scores.open ? gain : 0;
            tilt_scale = scale;
        }
        log_tail = scores.open ? log_parts(kept, chunks, origin, scale) : -QS_INFINITY;
        log_mass = block_log_sum(slots, log_tail, kept_weight);
        if (!first) {
            OutsideTilt rest = tilt_outside(law, slots, log_tail - log_mass, prefix, there,
                [&](int k) { return kept_weight(k) - log_mass; }, tilts);
            gain = rest.tilt;
            residual = rest.residual;
        }
        // 3. The normaliser of the tilt and the KL, from the candidates and the tail's mass alone.
        double gamma = gain * tilt_scale, log_outside = log_tail - log_mass + gamma;
        auto share = [&](int k) { return kept_weight(k) - log_mass + tilts[k] * tilt_scale; };
        log_normalizer = block_log_sum(slots, log_outside, [&](int k) { return there(k) ? share(k) : -QS_INFINITY; });
        for (int k = threadIdx.x; k < slots; k += blockDim.x)
            if (in(k) && share(k) > -QS_INFINITY) kl += exp(share(k) - log_normalizer) * (tilts[k] * tilt_scale - log_normalizer);
        kl = block_sum(kl);
        if (log_outside > -QS_INFINITY) kl += exp(log_outside - log_normalizer) * (gamma - log_normalizer);
        // 4. The draw: the best of the candidates and of the chunks.
        Best best;
        for (int k = threadIdx.x; k < slots; k += blockDim.x)
            if (in(k)) {
                float noise = greedy ? 0 : gumbel_of(gumbel_word(key, stream, position, candidates[k]));
                best.take(weight(k) + tilts[k] * tilt_scale + noise, candidates[k]);
            }
        if (log_outside > -QS_INFINITY)
            for (int c = threadIdx.x; c < chunks; c += blockDim.x)
                if (kept[c].token >= 0) best.take(((double)kept[c].max - origin) * scale + kept[c].score + gamma, kept[c].token);
        token = best.winner();
    }
    bool drew = token >= 0;
    if (!drew) token = first_legal(x, columns);
    int slot = listed;
    for (int k = threadIdx.x; k < listed; k += blockDim.x)
        if (candidates[k] == token) slot = min(slot, k);
    slot = -block_max(-slot);
    if (threadIdx.x == 0) {
        next[row] = token;
        if (chosen) chosen[row] = slot < listed ? slot : -1;
    }
    if (!statistics || threadIdx.x >= 32) return;
    Moments moments = {0, 0};
    if (drew && slot < slots) {   // a candidate; where the row is unguided there are none
        gain = tilts[slot];
        moments = tilted_moments(valueLogits + ((size_t)row * slots + slot) * atoms, law);
    }
    if (threadIdx.x != 0) return;
    Drawn drawn = {((double)clean(x[token]) - origin) * scale - log_mass, gain * tilt_scale, kl, log_all - log_mass, log_normalizer, residual,
        residual == residual ? gain : residual, moments};
    drawn.write(statistics + (size_t)row * 9, drew);
}
QS_KERNEL(tilted_finish)
