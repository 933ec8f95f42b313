// attention_backward: the gradient of queries (docs of Ops.AttentionBackward; Dao et al. 2022): with P found again from the saved
// ln of the softmax's sum and delta_t = dy_t y_t, dq_t = sum over s of P_ts (dy_t v_s - delta_t) k_s / sqrt(D).
// A block is a tile of query rows of one KV head as in attention.cu, and goes over the keys: no atomics, one order of sums.
// Floor: 6 D flops for each pair (t, s) that is seen and head; bytes: qkv, dy and y once, dq once.
// variants: T=float D=16 | T=float D=32 | T=float D=64 | T=float D=128 | T=bf16 D=16 | T=bf16 D=32 | T=bf16 D=64 | T=bf16 D=128
#include "attention.cuh"

// delta[b, h, t] = dy_t y_t of head h: D / PER lanes a row, 16 bytes a lane.
extern "C" __global__ void __launch_bounds__(256) QS_NAME(attention_delta)(
    const T* dy, const T* y, float* delta, int time, int heads, int size, long long rows) {
    enum { LANES = D / PER };
    long long row = ((long long)blockIdx.x * blockDim.x + threadIdx.x) / LANES;
    int column = threadIdx.x % LANES * PER;
    long long at = row * size + column;
    float sum = 0;
    if (row < rows && size % PER == 0 && column < size) {
        uint4 a = *reinterpret_cast<const uint4*>(dy + at), b = *reinterpret_cast<const uint4*>(y + at);
        for (int e = 0; e < PER; e++) sum += to_float(reinterpret_cast<const T*>(&a)[e]) * to_float(reinterpret_cast<const T*>(&b)[e]);
    } else if (row < rows)
        for (int e = 0; e < PER && column + e < size; e++) sum += to_float(dy[at + e]) * to_float(y[at + e]);
    for (int d = LANES / 2; d; d /= 2) sum += __shfl_xor_sync(FULL_WARP, sum, d);
    int head = (int)(row % heads);
    if (row < rows && column == 0) delta[(row / heads / time * heads + head) * time + row / heads % time] = sum;
}
QS_KERNEL(attention_delta)

extern "C" __global__ void __launch_bounds__(128, 1) QS_NAME(attention_dq)(
    const T* dy, const T* qkv, const int* spans, const float* log_sum_exp, const float* delta, T* dqkv,
    int items, int time, int heads, int kv_heads, int size) {
    QS_DYN_SHARED(T, shared);                                  // queries | dy | keys, values | keys, values
    enum { TILE = BACK_STEP * PITCH };
    int height = blockDim.x / 32 * ROWS, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int first = ((int)(gridDim.x / items) - 1 - (int)blockIdx.x / items) * height, item = blockIdx.x % items;
    int b = item / kv_heads, g = item % kv_heads, group = heads / kv_heads, rows = time * group;
    int start = spans[3 * b], stop = spans[3 * b + 2], prompt = min(spans[3 * b + 1], stop);
    long long width = (long long)(heads + 2 * kv_heads) * size, result = (long long)heads * size;
    T* line = const_cast<T*>(qkv) + b * time * width;
    HeadRows queries = {line + g * group * size, width, group};
    HeadRows slopes = {const_cast<T*>(dy) + b * time * result + g * group * size, result, group};
    HeadRows keys = {line + (heads + g) * size, width, 1}, values = {keys.start + kv_heads * size, width, 1};
    HeadRows gradient = {dqkv + b * time * width + g * group * size, width, group};

    int top = first + warp * ROWS, last = (min(first + height, rows) - 1) / group;
    int end = last < start || first / group >= stop ? start : min(max(prompt, last + 1), stop);
    int most = max(prompt, (top + ROWS - 1) / group + 1), prefix[2] = {};
    float sums[2] = {}, deltas[2] = {};
    for (int half = 0; half < 2; half++) {
        int row = top + lane / 4 + half * 8, token = row / group;
        if (token < start || token >= stop) continue;          // sees nothing, and gets 0
        long long at = ((long long)b * heads + g * group + row % group) * time + token;
        prefix[half] = max(prompt, token + 1);
        sums[half] = log_sum_exp[at] * LOG2_E;
        deltas[half] = delta[at];
    }

    T* tiles = shared + 2 * height * PITCH;
    float root = 1 / sqrtf((float)size), scale = LOG2_E * root, dq[D / 8][4] = {};
    load_rows(shared, height, queries, first, rows, size);
    load_rows(shared + height * PITCH, height, slopes, first, rows, size);
    auto load = [&](int k0, int turn) {
        load_rows(tiles + turn * 2 * TILE, BACK_STEP, keys, k0, end, size);
        load_rows(tiles + turn * 2 * TILE + TILE, BACK_STEP, values, k0, end, size);
    };
    for_tiles(start, end, BACK_STEP, load, [&](int k0, int turn) {
        if (k0 >= most) return;                                // the same for all lanes of a warp
        const T* tile = tiles + turn * 2 * TILE;
        float s[BACK_STEP / 8][4] = {}, dp[BACK_STEP / 8][4] = {};
        multiply_rows(s, shared + warp * ROWS * PITCH, tile);
        multiply_rows(dp, shared + (height + warp * ROWS) * PITCH, tile + TILE);
#pragma unroll
        for (int j = 0; j < BACK_STEP / 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                int key = k0 + j * 8 + lane % 4 * 2 + e % 2, half = e / 2;
                s[j][e] = key < prefix[half] ? exp2f(s[j][e] * scale - sums[half]) * (dp[j][e] - deltas[half]) : 0;
            }
        multiply_columns(dq, s, tile);
    });
    for (int half = 0; half < 2; half++) {
        int row = top + lane / 4 + half * 8;
        if (row >= rows) continue;
        T* to = gradient.at(row, size);
        if (prefix[half] > 0) store_row(to, dq, half, root, size);
        else for (int c = lane % 4; c < size; c += 4) to[c] = from_float<T>(0);
    }
}
QS_KERNEL(attention_dq)
