// tilted_sample: one step of guided decoding: a draw from π(y|x) ∝ π_ref(y|x)·exp(g(x, y)) and what was drawn; the contract is in
// TiltedSample.cs. A row is cut into chunks of 4096 tokens, always the same ones, so a row's result depends on no other row.
//   tilted_chunks: maximum, sum and best score + Gumbel noise of the tokens that are not candidates, relative to the chunk's
//     maximum. 16 tokens a thread stay in registers, so DRAM is read once. Logarithms are taken only of words whose bound
//     reaches the best of a warp (one sure score a thread), so a token costs its exp and its share of Philox.
//   tilted_nucleus, with top-p only: the cut (select.cuh), a row a block; then tilted_chunks again, restricted to it, from L2.
//   tilted_finish: a row a block: merges the chunks in order, tilts the candidates, draws, writes the statistics.
// Floor: one read of the logits, 4·B·V bytes; about 35 instructions a token, which on an H100 take about as long.
// variants: none
#include "gumbel.cuh"
#include "select.cuh"
#include "tilt.cuh"

enum { CHUNK = 4096, CHUNK_THREADS = 256 };

struct Part { float max, sum, score; int token; };   // token −1: none has weight

extern "C" __global__ void __launch_bounds__(256) QS_NAME(tilted_chunks)(
    const float* logits, const int* candidates, const int* streams, const int* positions, const Support* supports,
    unsigned long long key, float scale, int greedy, Part* parts, int columns, int slots) {
    QS_SHARED(unsigned, marks, CHUNK / 32);
    int row = blockIdx.x, start = blockIdx.y * CHUNK, stream = streams[row], position = positions[row];
    const float* x = logits + (size_t)row * columns;
    Support support = {-QS_INFINITY, -1};
    if (supports) support = supports[row];
    if (threadIdx.x < CHUNK / 32) marks[threadIdx.x] = 0;
    __syncthreads();
    for (int k = threadIdx.x; k < slots; k += CHUNK_THREADS) {
        int at = candidates[(size_t)row * slots + k] - start;
        if ((unsigned)at < CHUNK && at + start < columns) atomicOr(&marks[at / 32], 1u << at % 32);
    }
    __syncthreads();
    bool wide = columns % 4 == 0 && aligned16(x);
    float v[16], top = -QS_INFINITY;
    for (int j = 0; j < 4; j++) {
        int at = 4 * (j * CHUNK_THREADS + threadIdx.x), token = start + at;
        float part[4];
        load_part(part, x + token, wide && token < columns, columns - token);
        unsigned mark = marks[at / 32] >> at % 32;
        for (int i = 0; i < 4; i++) {
            float score = clean(part[i]);
            bool in = token + i < columns && !(mark >> i & 1) && support.holds(score, token + i);
            v[4 * j + i] = in ? score : -QS_INFINITY;
            top = fmaxf(top, v[4 * j + i]);
        }
    }
    float max = block_max(top), sum = 0;
    if (max == -QS_INFINITY) {
        if (threadIdx.x == 0) parts[(size_t)row * gridDim.y + blockIdx.y] = {max, 0, max, -1};
        return;
    }
    // Bounds of the scores with noise, in place of the logits; the sure score of the thread's best bound.
    float most = -QS_INFINITY, sure = -QS_INFINITY;
    unsigned sure_word = 0;
    for (int j = 0; j < 4; j++) {
        uint4 block = philox(key, (unsigned)(start + 4 * (j * CHUNK_THREADS + threadIdx.x)) >> 2, position, stream, 0);
        unsigned words[4] = {block.x, block.y, block.z, block.w};
        for (int i = 0; i < 4; i++) {
            float score = (v[4 * j + i] - max) * scale;
            sum += expf(score);
            v[4 * j + i] = greedy ? score : score + gumbel_bound(words[i]);
            if (v[4 * j + i] > most) {
                most = v[4 * j + i];
                sure = score;
                sure_word = words[i];
            }
        }
    }
    if (!greedy && most > -QS_INFINITY) sure += gumbel_of(sure_word);
    float mark = warp_max(sure), best = -QS_INFINITY;
    unsigned hits = 0;
    int winner = -1;
    for (int i = 0; i < 16; i++) hits |= (unsigned)(v[i] >= mark && v[i] > -QS_INFINITY) << i;
    for (; hits; hits &= hits - 1) {
        int i = __ffs((int)hits) - 1, token = start + 4 * (i / 4 * CHUNK_THREADS + threadIdx.x) + i % 4;
        float score = (clean(x[token]) - max) * scale;
        if (!greedy) score += gumbel_of(gumbel_word(key, stream, position, token));
        if (score > best) {
            best = score;
            winner = token;
        }
    }
    sum = block_sum(sum);
    unsigned long long chosen = block_max(winner < 0 ? 0 : order_key(best, winner));
    if (threadIdx.x == 0) parts[(size_t)row * gridDim.y + blockIdx.y] = {max, sum, key_value(chosen), (int)key_index(chosen)};
}
QS_KERNEL(tilted_chunks)

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

// How many of a row's candidate slots hold a token; `origin` rises to the highest score of theirs.
__device__ __forceinline__ int listed_tokens(const float* x, int columns, const int* candidates, int slots, float& origin) {
    int count = 0;
    for (int k = threadIdx.x; k < slots; k += blockDim.x)
        if ((unsigned)candidates[k] < (unsigned)columns) {
            origin = fmaxf(origin, clean(x[candidates[k]]));
            count++;
        }
    origin = block_max(origin);
    return block_sum(count);
}

struct PatchedScores {   // a row with the candidates' scores replaced: theirs are taken back and the new ones given
    const float* x;
    int columns;
    const int* candidates;
    const float* tilts;
    int slots;
    bool patched, open;
    double shift;
    __device__ __forceinline__ float order(int k) const {
        float score = clean(x[candidates[k]]);
        return patched ? clean((float)(score + (tilts[k] - shift))) : score;
    }
    template <class Visit> __device__ __forceinline__ void operator()(Visit visit) const {
        if (open) RowScores{x, columns}(visit);
        if (!patched) return;
        for (int k = threadIdx.x; k < slots; k += blockDim.x) {
            int token = candidates[k];
            if ((unsigned)token >= (unsigned)columns) continue;
            if (open) visit(clean(x[token]), token, -1);
            visit(order(k), token, 1);
        }
    }
};

extern "C" __global__ void __launch_bounds__(1024) QS_NAME(tilted_nucleus)(
    const float* logits, const int* candidates, const float* valueLogits, const float* weights, int weightStride,
    const float* prefixTilt, const Part* parts, int chunks, int tilt, int atoms, float low, float high, float lambda, int outside,
    float scale, float topP, int tiltsFirst, Support* supports, int columns, int slots) {
    QS_DYN_SHARED(float, tilts);   // [slots]
    QS_SHARED(Bins, bins, 1);
    int row = blockIdx.x;
    const float* x = logits + (size_t)row * columns;
    candidates += (size_t)row * slots;
    parts += (size_t)row * chunks;
    Law law = {tilt, atoms, low, high, lambda, outside, row_of(weights, weightStride, row)};
    tilts_of(valueLogits + (size_t)row * slots * atoms, slots, law, tilts);
    __syncthreads();
    auto there = [&](int k) { return (unsigned)candidates[k] < (unsigned)columns; };
    float top = highest_part(parts, chunks), origin = top;
    int count = listed_tokens(x, columns, candidates, slots, origin);
    if (origin == -QS_INFINITY) {
        if (threadIdx.x == 0) supports[row] = {-QS_INFINITY, -1};
        return;
    }
    double log_tail = log_parts(parts, chunks, origin, scale);
    auto weight = [&](int k) { return there(k) ? ((double)clean(x[candidates[k]]) - origin) * scale : -QS_INFINITY; };
    double log_all = block_log_sum(slots, log_tail, weight);
    PatchedScores scores = {x, columns, candidates, tilts, slots, tiltsFirst && count > 0, true, 0};
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
    auto there = [&](int k) { return (unsigned)candidates[k] < (unsigned)columns; };
    float origin = highest_part(all, chunks);
    int count = listed_tokens(x, columns, candidates, slots, origin);
    int token = -1, drawn = -1;
    double gain = 0, log_mass = 0, log_all = 0, log_normalizer = 0, kl = 0, residual = 0, tilt_scale = 1;
    if (origin > -QS_INFINITY) {
        // 1. Sums over all tokens, then those of the top-p set; ln q of the tokens outside in both.
        auto weight = [&](int k) { return there(k) ? ((double)clean(x[candidates[k]]) - origin) * scale : -QS_INFINITY; };
        double log_tail = log_parts(all, chunks, origin, scale);
        log_all = block_log_sum(slots, log_tail, weight);
        bool first = tiltsFirst && count > 0;
        Support support = {-QS_INFINITY, -1};
        if (supports) support = supports[row];
        PatchedScores scores = {x, columns, candidates, tilts, slots, first, true, 0};
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
        // 4. The draw: the best of the candidates and of the chunks, ties to the lower token.
        double best = -QS_INFINITY;
        int mine = 0x7fffffff;
        bool candidate = false;
        auto take = [&](double score, int id, bool listed_one) {
            if (!(score > best) && !(score == best && score > -QS_INFINITY && id < mine)) return;
            best = score;
            mine = id;
            candidate = listed_one;
        };
        for (int k = threadIdx.x; k < slots; k += blockDim.x)
            if (in(k)) {
                float noise = greedy ? 0 : gumbel_of(gumbel_word(key, stream, position, candidates[k]));
                take(weight(k) + tilts[k] * tilt_scale + noise, candidates[k], true);
            }
        if (log_outside > -QS_INFINITY)
            for (int c = threadIdx.x; c < chunks; c += blockDim.x)
                if (kept[c].token >= 0)
                    take(((double)kept[c].max - origin) * scale + kept[c].score + gamma, kept[c].token, false);
        double winner = block_highest(best);
        if (winner > -QS_INFINITY) {
            token = -block_max(best == winner ? -mine : -0x7fffffff);
            drawn = block_max(best == winner && mine == token && candidate ? 1 : 0);
        }
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
    bool tilted = drew && drawn > 0;
    Moments moments = {0, 0};
    if (tilted) {
        gain = tilts[slot];
        moments = tilted_moments(valueLogits + ((size_t)row * slots + slot) * atoms, law);
    }
    if (threadIdx.x != 0) return;
    double log_reference = ((double)clean(x[token]) - origin) * scale - log_mass;
    double values[9] = {log_reference + gain * tilt_scale - log_normalizer, log_reference, fmax(kl, 0.0), log_all - log_mass,
        log_normalizer, residual, residual == residual ? gain : residual, moments.mean, moments.variance};
    for (int i = 0; i < 9; i++)   // SampleStatistics, column by column
        statistics[(size_t)row * 9 + i] = drew ? (float)values[i] : __int_as_float(0x7fc00000);
}
QS_KERNEL(tilted_finish)
