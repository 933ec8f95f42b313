// tilted_chunks: the first pass of tilted_sample: maximum, sum and best score + Gumbel noise of the tokens of a chunk that are not
// candidates, relative to the chunk's maximum. With top-p it runs a second time, restricted to the cut, from L2. 16 tokens a thread
// stay in registers, so DRAM is read once. Logarithms are taken only of words whose bound reaches the best of a warp (one sure score
// a thread), so a token costs its exp and its share of Philox.
// Floor: one read of the logits, 4·B·V bytes; about 35 instructions a token, which on an H100 take about as long.
// variants: none
#include "gumbel.cuh"
#include "tilted_row.cuh"

enum { CHUNK_THREADS = 256 };

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
