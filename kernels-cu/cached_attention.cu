// cached_attention: queries of new tokens against the key-value cache (docs of Ops.CachedAttention): decoding, prompts, siblings.
// Rows of queries are packed, all heads of a KV group of all new tokens, so that a tile of keys and values is read once for all of
// them; siblings' own columns are keys that one row each sees. The columns of a cache row, and those of a prompt, are split over
// blocks (Flash-Decoding, Dao et al. 2023), and a second kernel merges the splits of both in a fixed order. A prompt is read once
// for its run, the neighbouring rows that go on from it: their queries are packed too (as in Hydragen, Juravsky et al. 2024).
// The grid and the number of splits come from shapes alone, so a recorded step stays valid whoever shares a prompt, and so do
// a row's bits; how many columns a split has follows from lengths on the device.
// Block: up to 4 warps of 16 query rows, as many as there may be rows for. Grid: splits, then row tiles, then KV heads, then rows.
// For prompts a run of n rows has n times the tiles of one row, of which it needs the first; the blocks of the others end at once.
// Floor: a row's (length + S) own columns and each prompt's columns of 2 G D sizeof(T) bytes, read once; S (H D) queries and
// results; with splits, 8 D bytes more for each query row and split (written and read), which the launcher keeps below 1/8 of the
// bytes of the columns that the row sees.
// variants: T=float D=16 | T=float D=32 | T=float D=64 | T=float D=128 | T=float D=256 | T=bf16 D=16 | T=bf16 D=32 | T=bf16 D=64 | T=bf16 D=128 | T=bf16 D=256
#include "attention.cuh"

enum { SEQUENCE, PROMPT, SIBLINGS };                           // as in CacheLayout

// The run of row r: rows begin ... end - 1, neighbours that go on from one prompt. Each warp looks for itself, 32 rows at a time.
__device__ __forceinline__ void find_run(const int* prompt_of, int all, int r, int& begin, int& end) {
    int prompt = prompt_of[r], lane = threadIdx.x % 32;
    unsigned others;
    for (begin = r; ; begin -= 32) {
        int i = begin - 1 - lane;
        others = __ballot_sync(FULL_WARP, i < 0 || prompt_of[i] != prompt);
        if (others) break;
    }
    begin -= __ffs(others) - 1;
    for (end = r + 1; ; end += 32) {
        int i = end + lane;
        others = __ballot_sync(FULL_WARP, i >= all || prompt_of[i] != prompt);
        if (others) break;
    }
    end += __ffs(others) - 1;
}

extern "C" __global__ void __launch_bounds__(128, 1) QS_NAME(cached_attention)(
    const T* qkv, const T* prompt_keys, const T* prompt_values, const int* prompt_lengths, const int* prompt_of, const T* keys,
    const T* values, const int* lengths, const int* counts, T* y, float* partial, int cache_rows, int tokens, int prompt_capacity,
    int capacity, int heads, int kv_heads, int size, int layout, int prompt_splits, int splits, int tiles) {
    QS_DYN_SHARED(T, shared);                                  // queries | keys, values | keys, values
    int height = blockDim.x / 32 * ROWS, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int split = blockIdx.x % splits, tile = blockIdx.x / splits % tiles, item = blockIdx.x / splits / tiles;
    int r = item / kv_heads, g = item % kv_heads, group = heads / kv_heads, packed = tokens * group;
    long long width = (long long)(heads + 2 * kv_heads) * size, column = (long long)kv_heads * size, from;
    // Queries of cache rows `run` on, `rows` of them, against `length` columns and the new ones that the layout lets them see.
    int run = r, rows, length, count, part, parts;
    if (split < prompt_splits) {
        int end, prompt = prompt_of[r];
        find_run(prompt_of, cache_rows, r, run, end);
        tile += (r - run) * tiles;
        rows = (end - run) * packed;
        length = prompt_lengths[prompt];
        count = 0;
        layout = PROMPT;
        part = split;
        parts = prompt_splits;
        from = prompt * prompt_capacity * column + g * size;
    } else {
        length = lengths[r];
        count = counts ? counts[r] : tokens;
        rows = count * group;
        part = split - prompt_splits;
        parts = splits - prompt_splits;
        from = r * capacity * column + g * size;
        prompt_keys = keys;
        prompt_values = values;
    }
    int first = tile * height;
    if (partial && first >= rows) return;
    if (counts && split < prompt_splits) {
        bool any = false;                                      // token of the tile that is real: rows that have ended cost nothing
        for (int i = run + first / packed + lane; i <= run + (min(first + height, rows) - 1) / packed; i += 32) any |= counts[i] > 0;
        if (!__any_sync(FULL_WARP, any)) return;
    }
    HeadRows queries = {const_cast<T*>(qkv) + run * tokens * width + g * group * size, width, group};
    HeadRows key = {const_cast<T*>(prompt_keys) + from, column, 1}, value = {const_cast<T*>(prompt_values) + from, column, 1};

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

    int chunk = (end + parts * STEP - 1) / (parts * STEP) * STEP, begin = part * chunk;
    end = min(end, begin + chunk);
    float o[D / 8][4] = {}, m[2], l[2];
    load_rows(shared, height, queries, first, rows, size);
    attend(shared + warp * ROWS * PITCH, shared + height * PITCH, key, value, begin, end, size, sight, o, m, l);
    for (int half = 0; half < 2; half++) {
        int row = top + lane / 4 + half * 8;
        float sum = row_sum(l[half]);
        if (!partial) {
            if (row >= packed) continue;
            T* to = y + ((long long)r * tokens + row / group) * heads * size + (g * group + row % group) * size;
            if (row < rows) store_row(to, o, half, 1 / sum, size);
            else for (int c = lane % 4; c < size; c += 4) to[c] = from_float<T>(0);
            continue;
        }
        if (row >= rows) continue;
        // Sums of all, then maxima and weights of all; the launcher sees that an int counts them.
        int at = (((run + row / packed) * kv_heads + g) * packed + row % packed) * splits + split;
        int all = cache_rows * kv_heads * packed * splits;
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
