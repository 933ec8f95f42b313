// attention: y_t = sum over s of softmax_s(q_t k_s / sqrt(D)) v_s for whole sequences in training (docs of Ops.Attention), as
// FlashAttention does it: nothing of size T x T is kept, ln of the softmax's sum is saved for backward.
// A block is a tile of query rows of one KV head: up to 64 rows (F32: 32), 16 a warp, the query heads of a group packed together,
// so that keys and values are read once for all of them. The tiles with the most keys come first.
// Floor: 4 D flops for each pair (t, s) that is seen and head; bytes: qkv and y once.
// variants: T=float D=16 | T=float D=32 | T=float D=64 | T=float D=128 | T=bf16 D=16 | T=bf16 D=32 | T=bf16 D=64 | T=bf16 D=128
#include "attention.cuh"

extern "C" __global__ void __launch_bounds__(128, 1) QS_NAME(attention)(
    const T* qkv, const int* spans, T* y, float* log_sum_exp, int items, int time, int heads, int kv_heads, int size) {
    QS_DYN_SHARED(T, shared);                                  // queries | keys, values | keys, values
    int height = blockDim.x / 32 * ROWS, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int first = ((int)(gridDim.x / items) - 1 - (int)blockIdx.x / items) * height, item = blockIdx.x % items;
    int b = item / kv_heads, g = item % kv_heads, group = heads / kv_heads, rows = time * group;
    int start = spans[3 * b], stop = spans[3 * b + 2], prompt = min(spans[3 * b + 1], stop);
    long long width = (long long)(heads + 2 * kv_heads) * size;
    T* line = const_cast<T*>(qkv) + b * time * width;
    HeadRows queries = {line + g * group * size, width, group};
    HeadRows keys = {line + (heads + g) * size, width, 1}, values = {keys.start + kv_heads * size, width, 1};

    // Token t sees the keys start ... max(prompt, t + 1) - 1.
    int top = first + warp * ROWS, last = (min(first + height, rows) - 1) / group;
    int end = last < start || first / group >= stop ? start : min(max(prompt, last + 1), stop);
    Sight sight;
    for (int half = 0; half < 2; half++) {
        int token = (top + lane / 4 + half * 8) / group;
        sight.prefix[half] = max(prompt, token + 1);
        sight.own[half] = -1;
    }
    sight.sure = max(prompt, top / group + 1);
    sight.most = max(prompt, (top + ROWS - 1) / group + 1);

    float o[D / 8][4] = {}, m[2], l[2];
    load_rows(shared, height, queries, first, rows, size);
    attend(shared + warp * ROWS * PITCH, shared + height * PITCH, keys, values, start, end, size, sight, o, m, l);
    for (int half = 0; half < 2; half++) {
        int row = top + lane / 4 + half * 8, token = row / group, head = g * group + row % group;
        float sum = row_sum(l[half]);
        if (row >= rows) continue;
        bool real = token >= start && token < stop;
        T* to = y + ((long long)b * time + token) * heads * size + head * size;
        if (real) store_row(to, o, half, 1 / sum, size);
        else for (int c = lane % 4; c < size; c += 4) to[c] = from_float<T>(0);
        if (lane % 4 == 0) log_sum_exp[((long long)b * heads + head) * time + token] = real ? (m[half] + log2f(sum)) / LOG2_E : 0;
    }
}
QS_KERNEL(attention)
