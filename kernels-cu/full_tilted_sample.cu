// full_tilted_sample: tilted_sample where the guide speaks of every token, its value logits in tiles (tiles.cuh); the contract is in
// FullTiltedSample.cs. A row is cut into chunks of 4096 tokens, so a row's result depends on no other row and one row fills a card.
//   full_tilt_chunks: tilts, sums of q and of π, and the best score + Gumbel noise of a chunk, relative to its highest logit. Four
//     tokens and one Philox block a thread and step; sums run along a thread and are merged in a fixed order.
//   full_tilt_nucleus, with top-p only: the cut of a row of scores (select.cuh), a row a block; then full_tilt_chunks again,
//     restricted to it. Temper first: the first pass leaves the value logits alone, and the second reads those of the set. Tilt first:
//     the first pass reads all and keeps ℓ + g [B, V], as radix selection visits a score three times and a tilt costs 2A exponentials.
//   full_tilt_finish: a row a block: merges the chunks in order, draws, writes the statistics.
// Floor: one read of the value logits and of π_ref's, 4·B·V·(A + 1) bytes; two exponentials an atom take about half that time on an H100.
// variants: none
#include "drawn.cuh"
#include "gumbel.cuh"
#include "select.cuh"
#include "tiles.cuh"

enum { CHUNK = 4096, CHUNK_THREADS = 256 };

// Of a chunk, relative to its highest logit: Σ q; π's law with g (g/T if tilted first) as its value; what ρ needs; the draw.
struct FullPart {
    float max, mass;
    WeighedSum law, rest;
    float score, plain;   // plain: q's own draw, for a row that a weighted tilt leaves no token of
    int token, plain_token;   // −1: none has weight
};

extern "C" __global__ void __launch_bounds__(256) QS_NAME(full_tilt_chunks)(
    const float* logits, const float* values, const float* bias, const float* weights, int weightStride,
    const int* streams, const int* positions, float* orders, const Support* supports, int tilt, int atoms, float low, float high, float lambda, float scale, int tiltsFirst, int greedy,
    unsigned long long key, FullPart* parts, int columns, int tiles, int width) {
    int row = blockIdx.x, start = blockIdx.y * CHUNK, end = min(columns, start + CHUNK), stream = streams[row], position = positions[row];
    const float* x = logits + (size_t)row * columns;
    if (orders) orders += (size_t)row * columns;
    Law law = {tilt, atoms, low, high, lambda, OUTSIDE_ZERO, row_of(weights, weightStride, row)};
    Tiles tokens(values, bias, atoms, columns, tiles, width);
    Support support = {-QS_INFINITY, -1};
    if (supports) support = supports[row];
    bool wide = columns % 4 == 0 && aligned16(x);
    float max = -QS_INFINITY, mass = 0, best = -QS_INFINITY, plain = best, tilt_scale = tiltsFirst ? scale : 1;
    WeighedSum sum, rest;
    int winner = -1, plain_winner = -1;
    // The clean logits of four tokens, −∞ outside of the support; true if one is in it.
    auto load = [&](int token, float (&v)[4]) {
        bool any = false;
        load_part(v, x + token, wide, columns - token);
        for (int i = 0; i < 4; i++) {
            v[i] = token + i < columns ? clean(v[i]) : -QS_INFINITY;
            if (supports && token + i < columns && !support.holds(orders ? orders[token + i] : v[i], token + i)) v[i] = -QS_INFINITY;
            any = any || v[i] > -QS_INFINITY;
        }
        return any;
    };
    for (int token = start + 4 * threadIdx.x; token < end; token += 4 * CHUNK_THREADS) {
        float v[4];
        load(token, v);
        for (int i = 0; i < 4; i++) max = fmaxf(max, v[i]);
    }
    max = block_max(max);
    for (int token = start + 4 * threadIdx.x; token < end; token += 4 * CHUNK_THREADS) {
        float v[4], w[4], g[4] = {}, r[4];
        bool any = load(token, v);
        if (any && law.guided()) tokens.tilts(token, law, g);
        if (orders && !supports)
            for (int i = 0; i < 4 && token + i < columns; i++) orders[token + i] = clean(v[i] + g[i]);
        if (!any) continue;
        for (int i = 0; i < 4; i++) {
            w[i] = (v[i] - max) * scale;
            mass += expf(w[i]);
            r[i] = tilt == TILT_MEAN ? w[i] : clean(w[i] + g[i]);
        }
        if (tiltsFirst || tilt == TILT_MEAN) rest.add(r, g);
        for (int i = 0; i < 4; i++) {
            g[i] *= tilt_scale;
            v[i] = clean(w[i] + g[i]);
        }
        sum.add(v, g);
        uint4 block = {};
        if (!greedy) block = philox(key, (unsigned)token >> 2, position, stream, 0);
        unsigned words[4] = {block.x, block.y, block.z, block.w};
        auto draw = [&](const float (&scores)[4], float& best, int& winner) {
            for (int i = 0; i < 4; i++) {
                if (!(scores[i] + (greedy ? 0 : gumbel_bound(words[i])) > best)) continue;
                float score = greedy ? scores[i] : scores[i] + gumbel_of(words[i]);
                if (score > best) {
                    best = score;
                    winner = token + i;
                }
            }
        };
        draw(v, best, winner);
        if (tilt == TILT_WEIGHTED) draw(w, plain, plain_winner);
    }
    mass = block_sum(mass);
    sum.reduce();
    rest.reduce();
    unsigned long long chosen = block_max(winner < 0 ? 0 : order_key(best, winner));
    unsigned long long other = block_max(plain_winner < 0 ? 0 : order_key(plain, plain_winner));
    if (threadIdx.x == 0)
        parts[(size_t)row * gridDim.y + blockIdx.y] = {max, mass, sum, rest, key_value(chosen), key_value(other),
            chosen ? (int)key_index(chosen) : -1, other ? (int)key_index(other) : -1};
}
QS_KERNEL(full_tilt_chunks)

extern "C" __global__ void __launch_bounds__(1024, 1) QS_NAME(full_tilt_nucleus)(
    const float* logits, float* orders, float scale, float topP, Support* supports, int columns) {
    QS_SHARED(Bins, bins, 1);
    logits += (size_t)blockIdx.x * columns;
    if (orders) orders += (size_t)blockIdx.x * columns;
    RowNucleus row = row_nucleus(bins[0], orders ? orders : logits, columns, scale, topP);
    if (orders && row.max == -QS_INFINITY) {   // the tilt left no token: q's own set
        for (int c = threadIdx.x; c < columns; c += blockDim.x) orders[c] = clean(logits[c]);
        __syncthreads();
        row = row_nucleus(bins[0], orders, columns, scale, topP);
    }
    if (threadIdx.x == 0) supports[blockIdx.x] = row.kept.support;
}
QS_KERNEL(full_tilt_nucleus)

// The sums of a row, in double and relative to `origin`: a thread takes chunks, the block adds them in order.
struct RowSum { double log, mean; };
template <class Weighed> __device__ __forceinline__ RowSum merged(const FullPart* parts, int count, float origin, float scale, Weighed of) {
    double top = -QS_INFINITY, sum = 0, moment = 0;
    auto at = [&](int c) { return ((double)parts[c].max - origin) * scale + of(parts[c]).max; };
    for (int c = threadIdx.x; c < count; c += blockDim.x)
        if (of(parts[c]).sum > 0) top = fmax(top, at(c));
    top = block_highest(top);
    for (int c = threadIdx.x; c < count; c += blockDim.x)
        if (of(parts[c]).sum > 0) {
            double share = exp(at(c) - top);
            sum += of(parts[c]).sum * share;
            moment += of(parts[c]).moment * share;
        }
    sum = block_sum(sum);
    moment = block_sum(moment);
    return {sum > 0 ? top + log(sum) : -QS_INFINITY, moment / sum};
}

extern "C" __global__ void __launch_bounds__(128, 1) QS_NAME(full_tilt_finish)(
    const float* logits, const float* values, const float* bias, const float* weights, int weightStride,
    const float* prefixTilt, const FullPart* all, const FullPart* kept, int chunks, int tilt, int atoms, float low, float high,
    float lambda, float scale, int tiltsFirst, int* next, float* statistics,
    int columns, int tiles, int width) {
    int row = blockIdx.x, token = -1;
    const float* x = logits + (size_t)row * columns;
    all += (size_t)row * chunks;
    kept += (size_t)row * chunks;
    Law law = {tilt, atoms, low, high, lambda, OUTSIDE_ZERO, row_of(weights, weightStride, row)};
    float origin = -QS_INFINITY, prefix = prefixTilt ? prefixTilt[row] : __int_as_float(0x7fc00000);
    for (int c = threadIdx.x; c < chunks; c += blockDim.x) origin = fmaxf(origin, all[c].max);
    origin = block_max(origin);
    double log_all = 0, log_mass = 0, log_normalizer = 0, kl = 0, residual = 0;
    bool lost = false;
    if (origin > -QS_INFINITY) {
        auto mass = [](const FullPart& part) { return WeighedSum{0, part.mass, 0}; };
        auto whole = [](const FullPart& part) { return part.law; };
        auto rest = [](const FullPart& part) { return part.rest; };
        log_all = merged(all, chunks, origin, scale, mass).log;
        log_mass = merged(kept, chunks, origin, scale, mass).log;
        RowSum policy = merged(kept, chunks, origin, scale, whole);
        log_normalizer = policy.log - log_mass;
        kl = policy.mean - log_normalizer;
        double mean = log_normalizer;
        if (tiltsFirst || tilt == TILT_MEAN) {
            RowSum from = merged(tiltsFirst ? all : kept, chunks, origin, scale, rest);
            mean = tilt == TILT_MEAN ? from.mean : from.log - log_all;
        }
        if (prefix > -QS_INFINITY) residual = prefix - mean;
        auto winner = [&](bool plain) {   // the best of the chunks
            Best best;
            for (int c = threadIdx.x; c < chunks; c += blockDim.x) {
                int id = plain ? kept[c].plain_token : kept[c].token;
                if (id >= 0) best.take(((double)kept[c].max - origin) * scale + (plain ? kept[c].plain : kept[c].score), id);
            }
            return best.winner();
        };
        token = winner(false);
        lost = token < 0 && tilt == TILT_WEIGHTED;
        if (lost) {   // the tilt left no token: drawn from q
            token = winner(true);
            log_normalizer = kl = 0;
            residual = __int_as_float(0x7fc00000);
        }
    }
    bool drew = token >= 0;
    if (!drew) token = first_legal(x, columns);
    if (threadIdx.x == 0) next[row] = token;
    if (!statistics || threadIdx.x >= 32) return;
    float gain = 0;
    Moments moments = {0, 0};
    if (drew) {
        AtomsOfToken its = Tiles(values, bias, atoms, columns, tiles, width).atoms_of(token, atoms);
        gain = lost ? 0 : atoms == 1 ? tilt_of_logit(its[0], law) : tilt_of_atoms(its, law);
        moments = tilted_moments(its, law);
    }
    if (threadIdx.x != 0) return;
    Drawn drawn = {((double)clean(x[token]) - origin) * scale - log_mass, gain * (double)(tiltsFirst ? scale : 1), kl, log_all - log_mass,
        log_normalizer, residual, lost ? residual : gain, moments};
    drawn.write(statistics + (size_t)row * 9, drew);
}
QS_KERNEL(full_tilt_finish)
