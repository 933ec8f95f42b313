// cached_attention: queries of new tokens against the key-value cache (docs of Ops.CachedAttention): decoding, prompts, siblings.
// Rows of queries are packed, all heads of a KV group of all new tokens of a row, so that a tile of keys and values is read
// once for all of them, the shared prefix of siblings included; siblings' own columns are keys that one row each sees.
// Long caches are split over blocks (Flash-Decoding, Dao et al. 2023): `splits` comes from shapes alone, so a recorded step stays
// valid; how many columns a split has follows from the row's length on the device. A second kernel merges in a fixed order.
// Block: up to 4 warps of 16 query rows, as many as there are rows for. Grid: splits, then row tiles, then KV heads, then rows.
// Floor: a row's (length + S) columns of 2 G D sizeof(T) bytes, read once; S (H D) queries and results; with splits, 8 D bytes
// more for each query row and split (written and read), which the launcher keeps below 1/8 of the columns' bytes.
// variants: T=float D=16 | T=float D=32 | T=float D=64 | T=float D=128 | T=float D=256 | T=bf16 D=16 | T=bf16 D=32 | T=bf16 D=64 | T=bf16 D=128 | T=bf16 D=256
#include "attention.cuh"

enum { SEQUENCE, PROMPT, SIBLINGS };                           // as in CacheLayout

extern "C" __global__ void __launch_bounds__(128, 1) QS_NAME(cached_attention)(
    const T* qkv, const T* keys, const T* values, const int* lengths, const int* counts, T* y, float* partial,
    int tokens, int capacity, int heads, int kv_heads, int size, int layout, int splits, int tiles) {
    QS_DYN_SHARED(T, shared);                                  // queries | keys, values | keys, values
    int height = blockDim.x / 32 * ROWS, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int split = blockIdx.x % splits, tile = blockIdx.x / splits % tiles, item = blockIdx.x / splits / tiles;
    int r = item / kv_heads, g = item % kv_heads, group = heads / kv_heads;
    int length = lengths[r], count = counts ? counts[r] : tokens, rows = count * group, first = tile * height;
    long long width = (long long)(heads + 2 * kv_heads) * size, column = (long long)kv_heads * size;
    HeadRows queries = {const_cast<T*>(qkv) + r * tokens * width + g * group * size, width, group};
    HeadRows key = {const_cast<T*>(keys) + r * capacity * column + g * size, column, 1};
    HeadRows value = {const_cast<T*>(values) + r * capacity * column + g * size, column, 1};

    // Row i stands for token i / group; see Sight.
    int top = first + warp * ROWS, bottom = min(top + ROWS, rows) - 1, end = 0;
    Sight sight;
    if (first < rows) end = layout == SEQUENCE ? length + (min(first + height, rows) - 1) / group + 1 : length + count;
    for (int half = 0; half < 2; half++) {
        int row = top + lane / 4 + half * 8, token = row / group;
        bool real = row < rows;
        sight.prefix[half] = !real ? 0 : layout == SEQUENCE ? length + token + 1 : layout == PROMPT ? length + count : length;
        sight.own[half] = real && layout == SIBLINGS ? length + token : -1;
    }
    sight.sure = bottom - top < ROWS - 1 ? 0 : layout == SEQUENCE ? length + top / group + 1 : layout == PROMPT ? end : length;
    sight.most = top >= rows ? 0 : layout == SEQUENCE ? length + bottom / group + 1 : end;

    int chunk = (end + splits * STEP - 1) / (splits * STEP) * STEP, begin = split * chunk;
    end = min(end, begin + chunk);
    float o[D / 8][4] = {}, m[2], l[2];
    load_rows(shared, height, queries, first, rows, size);
    attend(shared + warp * ROWS * PITCH, shared + height * PITCH, key, value, begin, end, size, sight, o, m, l);
    for (int half = 0; half < 2; half++) {
        int row = top + lane / 4 + half * 8;
        float sum = row_sum(l[half]);
        if (row >= tokens * group) continue;
        if (splits == 1) {
            T* to = y + ((long long)r * tokens + row / group) * heads * size + (g * group + row % group) * size;
            if (row < rows) store_row(to, o, half, 1 / sum, size);
            else for (int c = lane % 4; c < size; c += 4) to[c] = from_float<T>(0);
            continue;
        }
        // Sums of all, then maxima and weights of all.
        long long at = ((long long)item * tokens * group + row) * splits + split;
        long long all = (long long)gridDim.x / tiles * tokens * group;
        if (sum > 0) store_row(partial + at * size, o, half, 1, size);
        if (lane % 4 == 0) partial[all * size + 2 * at] = m[half];
        if (lane % 4 == 1) partial[all * size + 2 * at + 1] = sum;
    }
}
QS_KERNEL(cached_attention)

// Merges the splits of one query row a warp: y = sum_i 2^(m_i - m) o_i / sum_i 2^(m_i - m) l_i. A split that saw no key has l = 0.
extern "C" __global__ void __launch_bounds__(128) QS_NAME(cached_attention_merge)(
    const float* partial, const int* counts, T* y, int tokens, int heads, int kv_heads, int size, int splits, int rows) {
    int i = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (i >= rows) return;
    int group = heads / kv_heads, row = i % (tokens * group), item = i / (tokens * group), r = item / kv_heads;
    int token = row / group, head = item % kv_heads * group + row % group;
    T* to = y + (((long long)r * tokens + token) * heads + head) * size;
    const float* sums = partial + (long long)i * splits * size;
    const float* weights = partial + (long long)rows * splits * size + 2LL * i * splits;
    bool real = !counts || token < counts[r];
    float m = -QS_INFINITY, l = 0;
    for (int split = 0; split < splits && real; split++) m = fmaxf(m, weights[2 * split]);
    for (int split = 0; split < splits && real; split++) l += exp2f(weights[2 * split] - m) * weights[2 * split + 1];
    for (int c = lane; c < size; c += 32) {
        float sum = 0;
        for (int split = 0; split < splits && real; split++)
            if (weights[2 * split + 1] > 0) sum += exp2f(weights[2 * split] - m) * sums[(long long)split * size + c];
        to[c] = from_float<T>(real ? sum / l : 0);
    }
}
QS_KERNEL(cached_attention_merge)
