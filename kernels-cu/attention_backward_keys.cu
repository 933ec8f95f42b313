// attention_backward_keys: the gradients of keys and values (docs of Ops.AttentionBackward; Dao et al. 2022):
// dv_s = sum over t of P_ts dy_t, dk_s = sum over t of P_ts (dy_t v_s - delta_t) q_t / sqrt(D), over all heads of the KV group.
// A block is a tile of keys of one KV head, 16 a warp, and goes over the query rows, the heads of the group packed together:
// no atomics, one order of sums. Keys are the rows of its products, so the transposed P is at once a left factor.
// Floor: 8 D flops for each pair (t, s) that is seen and head; bytes: qkv and dy once, dk and dv once.
// variants: T=float D=16 | T=float D=32 | T=float D=64 | T=float D=128 | T=bf16 D=16 | T=bf16 D=32 | T=bf16 D=64 | T=bf16 D=128
#include "attention.cuh"

// Of one query row: ln of its softmax's sum times log2(e), delta, and how many keys it sees.
struct QueryFacts {
    float sum, delta;
    int prefix;
};

extern "C" __global__ void __launch_bounds__(128, 1) QS_NAME(attention_dkv)(
    const T* dy, const T* qkv, const int* spans, const float* log_sum_exp, const float* delta, T* dqkv,
    int items, int time, int heads, int kv_heads, int size) {
    QS_DYN_SHARED(T, shared);                                  // keys | values | queries, dy | queries, dy
    QS_SHARED(QueryFacts, facts, 2 * BACK_STEP);
    enum { TILE = BACK_STEP * PITCH };
    int height = blockDim.x / 32 * ROWS, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int first = blockIdx.x / items * height, item = blockIdx.x % items;                // the first keys are seen by most queries
    int b = item / kv_heads, g = item % kv_heads, group = heads / kv_heads, top = first + warp * ROWS;
    int start = spans[3 * b], stop = spans[3 * b + 2], prompt = min(spans[3 * b + 1], stop);
    long long width = (long long)(heads + 2 * kv_heads) * size, result = (long long)heads * size;
    T* line = const_cast<T*>(qkv) + b * time * width;
    HeadRows queries = {line + g * group * size, width, group};
    HeadRows slopes = {const_cast<T*>(dy) + b * time * result + g * group * size, result, group};
    HeadRows keys = {line + (heads + g) * size, width, 1}, values = {keys.start + kv_heads * size, width, 1};

    // The first key that counts is seen from its own token on, or by all if it is of the prompt.
    int least = max(first, start), end = stop * group;
    int begin = least >= min(first + height, stop) ? end : (least < prompt ? start : least) * group;
    T* tiles = shared + 2 * height * PITCH;
    float root = 1 / sqrtf((float)size), scale = LOG2_E * root, dk[D / 8][4] = {}, dv[D / 8][4] = {};
    load_rows(shared, height, keys, first, stop, size);
    load_rows(shared + height * PITCH, height, values, first, stop, size);
    auto load = [&](int row0, int turn) {
        load_rows(tiles + turn * 2 * TILE, BACK_STEP, queries, row0, end, size);
        load_rows(tiles + turn * 2 * TILE + TILE, BACK_STEP, slopes, row0, end, size);
        if (threadIdx.x >= BACK_STEP) return;
        int row = row0 + threadIdx.x, token = row / group;
        long long at = ((long long)b * heads + g * group + row % group) * time + token;
        QueryFacts none = {};
        facts[turn * BACK_STEP + threadIdx.x] = row < end ? QueryFacts{log_sum_exp[at] * LOG2_E, delta[at], max(prompt, token + 1)} : none;
    };
    for_tiles(begin, end, BACK_STEP, load, [&](int row0, int turn) {
        if (top >= max(prompt, (min(row0 + BACK_STEP, end) - 1) / group + 1)) return;   // the same for all lanes of a warp
        const T* tile = tiles + turn * 2 * TILE;
        float p[BACK_STEP / 8][4] = {}, ds[BACK_STEP / 8][4] = {};
        multiply_rows(p, shared + warp * ROWS * PITCH, tile);
        multiply_rows(ds, shared + (height + warp * ROWS) * PITCH, tile + TILE);
#pragma unroll
        for (int j = 0; j < BACK_STEP / 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                QueryFacts query = facts[turn * BACK_STEP + j * 8 + lane % 4 * 2 + e % 2];
                p[j][e] = top + lane / 4 + e / 2 * 8 < query.prefix ? exp2f(p[j][e] * scale - query.sum) : 0;
                ds[j][e] = p[j][e] * (ds[j][e] - query.delta);
            }
        multiply_columns(dv, p, tile + TILE);
        multiply_columns(dk, ds, tile);
    });
    for (int half = 0; half < 2; half++) {
        int key = top + lane / 4 + half * 8;
        if (key >= time) continue;
        T* to = dqkv + ((long long)b * time + key) * width + (heads + g) * size;
        if (key >= start && key < stop) {
            store_row(to, dk, half, root, size);
            store_row(to + kv_heads * size, dv, half, 1, size);
        } else
            for (int c = lane % 4; c < size; c += 4) to[c] = to[kv_heads * size + c] = from_float<T>(0);
    }
}
QS_KERNEL(attention_dkv)
