// sample_row: the token of the largest score + Gumbel noise of each row, ties to the lower token; a draw from softmax(scores).
// A row a block, four tokens (one Philox block) a thread and step. Logarithms are taken only of words whose bound reaches the
// best of the thread so far, so a token costs little more than its share of Philox. A row without weight gives its first token
// that is neither −∞ nor NaN, else 0; as +∞ counts as the largest float, that is always 0. Floor: a read of the scores.
// variants: none
#include "gumbel.cuh"
#include "rows.cuh"

extern "C" __global__ void __launch_bounds__(1024) QS_NAME(sample_row)(
    const float* scores, const int* streams, const int* positions, unsigned long long key, int* next, int columns) {
    int stream = streams[blockIdx.x], position = positions[blockIdx.x];
    float best = -QS_INFINITY;
    int token = 0;
    for_row<4>(scores + (size_t)blockIdx.x * columns, columns, [&](int first, float (&v)[4]) {
        uint4 block = philox(key, (unsigned)first >> 2, position, stream, 0);
        unsigned words[4] = {block.x, block.y, block.z, block.w};
        for (int i = 0; i < 4; i++) {
            float score = clean(v[i]);
            if (!(score + gumbel_bound(words[i]) > best)) continue;
            score += gumbel_of(words[i]);
            if (score > best) {
                best = score;
                token = first + i;
            }
        }
    });
    unsigned long long winner = block_max(best == -QS_INFINITY ? 0 : order_key(best, token));
    if (threadIdx.x == 0) next[blockIdx.x] = winner ? (int)key_index(winner) : 0;
}
QS_KERNEL(sample_row)
