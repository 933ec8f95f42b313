// head_norm: y = x·s·weight with s = 1/√(mean(x²) + ε) over each head of queries and of keys (Henry et al. 2020); heads of
// values are copied. A row is `heads` heads of queries, `kv_heads` of keys, `kv_heads` of values, each of `dim` elements.
// A warp a head, four elements a lane and step. Floor: a read of qkv and a write of y. y may be qkv.
// head_norm_backward: dx = s·g − s³·x·mean(g·x) with g = dy·weight, written; dx may be dy. A warp takes every
// (gridDim.x · warps)-th head and sums dy·x·s for both weights in shared memory of its own; the block's warps are added in
// order into row blockIdx.x of the partials, which add_column_sums adds up. Floor: a read of dy and of qkv, a write of dx.
// variants: T=float | T=bf16
#include "qs.cuh"

extern "C" __global__ void __launch_bounds__(256) QS_NAME(head_norm)(
    const T* qkv, const float* query_weight, const float* key_weight, int rows, int heads, int kv_heads, int dim, float epsilon,
    T* y, float* rstd) {
    int lane = threadIdx.x % 32, normed = heads + kv_heads, all = normed + kv_heads;
    long long item = (long long)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (item >= (long long)rows * all) return;
    int row = (int)(item / all), head = (int)(item % all);
    const float* weight = head < heads ? query_weight : key_weight;
    const T* x = qkv + item * dim;
    y += item * dim;
    bool wide = dim % 8 == 0 && aligned16(qkv, weight, y);
    float v[4], w[4], scale = 1;
    if (head < normed) {
        float squares = 0;
        for (int d = 4 * lane; d < dim; d += 128) {
            load_part(v, x + d, wide, dim - d);
            for (int i = 0; i < 4; i++) squares += v[i] * v[i];
        }
        scale = rsqrtf(warp_sum(squares) / dim + epsilon);
        if (lane == 0) rstd[(size_t)row * normed + head] = scale;
    }
    for (int d = 4 * lane; d < dim; d += 128) {
        load_part(v, x + d, wide, dim - d);
        if (head < normed) {
            load_part(w, weight + d, wide, dim - d);
            for (int i = 0; i < 4; i++) v[i] *= scale * w[i];
        }
        store_part(y + d, v, wide, dim - d);
    }
}
QS_KERNEL(head_norm)

extern "C" __global__ void __launch_bounds__(256) QS_NAME(head_norm_backward)(
    const T* dy, const T* qkv, const float* query_weight, const float* key_weight, const float* rstd, int rows, int heads,
    int kv_heads, int dim, T* dx, float* query_partials, float* key_partials) {
    QS_DYN_SHARED(float, sums);   // [warps, 2, dim]: of dQueryWeight, then of dKeyWeight
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32, normed = heads + kv_heads, all = normed + kv_heads;
    bool wide = dim % 8 == 0 && aligned16(dy, qkv, query_weight, key_weight, dx);
    float g[4], v[4], w[4], sum[4];
    for (int i = threadIdx.x; i < warps * 2 * dim; i += blockDim.x) sums[i] = 0;
    __syncthreads();
    for (long long item = (long long)blockIdx.x * warps + warp; item < (long long)rows * all; item += (long long)gridDim.x * warps) {
        int row = (int)(item / all), head = (int)(item % all);
        bool is_query = head < heads, is_normed = head < normed;
        const float* weight = is_query ? query_weight : key_weight;
        float* own = sums + (2 * warp + (is_query ? 0 : 1)) * dim;
        float scale = 1, slope = 0;
        if (is_normed) {
            float product = 0;
            scale = rstd[(size_t)row * normed + head];
            for (int d = 4 * lane; d < dim; d += 128) {
                load_part(g, dy + item * dim + d, wide, dim - d);
                load_part(v, qkv + item * dim + d, wide, dim - d);
                load_part(w, weight + d, wide, dim - d);
                load_part(sum, own + d, wide, dim - d);
                for (int i = 0; i < 4; i++) {
                    product += g[i] * w[i] * v[i];
                    sum[i] += g[i] * v[i] * scale;
                }
                store_part(own + d, sum, wide, dim - d);
            }
            slope = scale * scale * scale * warp_sum(product) / dim;
        }
        for (int d = 4 * lane; d < dim; d += 128) {
            load_part(g, dy + item * dim + d, wide, dim - d);
            if (is_normed) {
                load_part(v, qkv + item * dim + d, wide, dim - d);
                load_part(w, weight + d, wide, dim - d);
                for (int i = 0; i < 4; i++) g[i] = scale * g[i] * w[i] - slope * v[i];
            }
            store_part(dx + item * dim + d, g, wide, dim - d);
        }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < 2 * dim; i += blockDim.x) {
        float total = 0;
        for (int k = 0; k < warps; k++) total += sums[k * 2 * dim + i];
        (i < dim ? query_partials : key_partials)[(size_t)blockIdx.x * dim + i % dim] = total;
    }
}
QS_KERNEL(head_norm_backward)
