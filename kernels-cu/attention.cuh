// attention.cuh - what the attention kernels share: tiles in shared memory, their two products, and the running softmax of
// FlashAttention (Dao et al. 2022, 2023). A warp has 16 rows. Sums lie in registers as the tensor cores leave them, c[j][e]:
// row lane / 4 (e < 2) or lane / 4 + 8, column 8 j + lane % 4 * 2 + e % 2. BF16 multiplies by mma.sync; F32 has the same
// layout and plain multiplications, so that masks, softmax and loops are written once.
// D is the head size that tiles are padded to by zeros; `size` is the real one.
#pragma once
#include "qs.cuh"

enum {
    D = QS_D,
    PER = 16 / sizeof(T),            // elements of one 16-byte piece
    PITCH = D + PER,                 // of a tile's row: ldmatrix and float4 reads meet no bank conflict
    ROWS = 16,                       // of a warp
    STEP = sizeof(T) == 4 ? D > 128 ? 8 : 16 : D > 128 ? 16 : 64,   // keys that are in shared memory at a time; more would spill
    BACK_STEP = sizeof(T) == 2 ? 32 : D > 64 ? 8 : 16,         // the same in backward, keys or query rows
};
#define LOG2_E 1.4426950408889634f

// Rows of one head in a tensor. With group > 1 the query heads of one KV head are packed: row i is head i % group of token i / group.
struct HeadRows {
    T* start;
    long long stride;                // between tokens
    int group;

    __device__ __forceinline__ T* at(int row, int size) const {
        return start + row / group * stride + row % group * size;
    }
};

// tile[r] = rows[first + r], and 0 from row `end` and column `size` on; by cp.async where rows are whole 16-byte pieces.
__device__ __forceinline__ void load_rows(T* tile, int count, const HeadRows& rows, int first, int end, int size) {
    if (size % PER == 0) {
        for (int i = threadIdx.x; i < count * (D / PER); i += blockDim.x) {
            int r = i / (D / PER), c = i % (D / PER) * PER;
            bool valid = first + r < end && c < size;
            cp_async16(tile + r * PITCH + c, valid ? rows.at(first + r, size) + c : rows.start, valid);
        }
    } else {
        for (int i = threadIdx.x; i < count * D; i += blockDim.x) {
            int r = i / D, c = i % D;
            tile[r * PITCH + c] = first + r < end && c < size ? rows.at(first + r, size)[c] : from_float<T>(0);
        }
    }
}

// c[16, 8N] += a[16, D] b[8N, D]^T, both in shared memory.
template <int N> __device__ __forceinline__ void multiply_rows(float (&c)[N][4], const bf16* a, const bf16* b) {
    int lane = threadIdx.x % 32;
    const bf16* of_a = a + lane % 16 * PITCH + lane / 16 * 8;
    const bf16* of_b = b + (lane / 16 * 8 + lane % 8) * PITCH + lane / 8 % 2 * 8;
#pragma unroll 4                                              // not all: sm_80 would run out of registers at D = 128
    for (int k = 0; k < D; k += 16) {
        unsigned fa[4], fb[4];
        ldmatrix_x4(fa, of_a + k);
#pragma unroll
        for (int j = 0; j < N; j += 2) {
            ldmatrix_x4(fb, of_b + j * 8 * PITCH + k);
            mma_16816(c[j], fa, fb[0], fb[1]);
            mma_16816(c[j + 1], fa, fb[2], fb[3]);
        }
    }
}

template <int N> __device__ __forceinline__ void multiply_rows(float (&c)[N][4], const float* a, const float* b) {
    int lane = threadIdx.x % 32;
    const float* of_a = a + lane / 4 * PITCH;
    const float* of_b = b + lane % 4 * 2 * PITCH;
#pragma unroll 1
    for (int k = 0; k < D; k += 4) {
        float4 x = *reinterpret_cast<const float4*>(of_a + k), y = *reinterpret_cast<const float4*>(of_a + 8 * PITCH + k);
#pragma unroll
        for (int j = 0; j < N; j++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                float4 z = *reinterpret_cast<const float4*>(of_b + (j * 8 + e) * PITCH + k);
                c[j][e] += x.x * z.x + x.y * z.y + x.z * z.z + x.w * z.w;
                c[j][2 + e] += y.x * z.x + y.y * z.y + y.z * z.z + y.w * z.w;
            }
    }
}

// c[16, D] += a[16, 8N] b[8N, D]: a is what multiply_rows left, as its layout is that of a left factor; b is in shared memory.
template <int N>
__device__ __forceinline__ void multiply_columns(float (&c)[D / 8][4], const float (&a)[N][4], const bf16* b) {
    int lane = threadIdx.x % 32;
    const bf16* of_b = b + lane % 16 * PITCH + lane / 16 * 8;
#pragma unroll
    for (int k = 0; k < N; k += 2) {
        unsigned fa[4] = {pack_bf16(a[k][0], a[k][1]), pack_bf16(a[k][2], a[k][3]),
                          pack_bf16(a[k + 1][0], a[k + 1][1]), pack_bf16(a[k + 1][2], a[k + 1][3])};
#pragma unroll
        for (int j = 0; j < D / 8; j += 2) {
            unsigned fb[4];
            ldmatrix_x4_trans(fb, of_b + k * 8 * PITCH + j * 8);
            mma_16816(c[j], fa, fb[0], fb[1]);
            mma_16816(c[j + 1], fa, fb[2], fb[3]);
        }
    }
}

template <int N>
__device__ __forceinline__ void multiply_columns(float (&c)[D / 8][4], const float (&a)[N][4], const float* b) {
    int lane = threadIdx.x % 32;
    const float* of_b = b + lane % 4 * 2;
#pragma unroll
    for (int k = 0; k < 8 * N; k++) {
        int owner = (lane & ~3) + k % 8 / 2;
        float x = __shfl_sync(FULL_WARP, a[k / 8][k % 2], owner), y = __shfl_sync(FULL_WARP, a[k / 8][2 + k % 2], owner);
#pragma unroll
        for (int j = 0; j < D / 8; j++) {
            float2 z = *reinterpret_cast<const float2*>(of_b + k * PITCH + j * 8);
            c[j][0] += x * z.x;
            c[j][1] += x * z.y;
            c[j][2] += y * z.x;
            c[j][3] += y * z.y;
        }
    }
}

__device__ __forceinline__ void store_pair(float* to, float x, float y) { *reinterpret_cast<float2*>(to) = {x, y}; }
__device__ __forceinline__ void store_pair(bf16* to, float x, float y) { *reinterpret_cast<unsigned*>(to) = pack_bf16(x, y); }

// row[...] = factor * c for the half (0 or 1) of the warp's rows that a lane holds; E is T, or float for partial sums.
template <class E>
__device__ __forceinline__ void store_row(E* row, const float (&c)[D / 8][4], int half, float factor, int size) {
#pragma unroll
    for (int j = 0; j < D / 8; j++) {
        int column = j * 8 + threadIdx.x % 4 * 2;
        float x = factor * c[j][2 * half], y = factor * c[j][2 * half + 1];
        if (size % 2 == 0 && column < size) store_pair(row + column, x, y);
        else {
            if (column < size) row[column] = from_float<E>(x);
            if (column + 1 < size) row[column + 1] = from_float<E>(y);
        }
    }
}

// Which keys a lane's two rows see: those before `prefix`, and `own` besides. All rows of the warp see the keys before
// `sure`; none sees any from `most` on.
struct Sight {
    int prefix[2], own[2], sure, most;
};

// The sum over the four lanes that share a row.
__device__ __forceinline__ float row_sum(float v) {
    v += __shfl_xor_sync(FULL_WARP, v, 1);
    return v + __shfl_xor_sync(FULL_WARP, v, 2);
}

// use(at, turn) for at = begin, begin + step, ... while load(at + step, 1 - turn), which asks for the next tile, is on its way.
template <class Load, class Use>
__device__ __forceinline__ void for_tiles(int begin, int end, int step, Load load, Use use) {
    load(begin, 0);
    cp_async_commit();
    for (int at = begin, turn = 0; at < end; at += step, turn ^= 1) {
        if (at + step < end) {
            load(at + step, turn ^ 1);
            cp_async_commit();
            cp_async_wait<1>();
        } else cp_async_wait<0>();
        __syncthreads();
        use(at, turn);
        __syncthreads();                                       // all warps are done with the tile before it is filled again
    }
    cp_async_wait<0>();                                        // where there was nothing to use, the copies are still on their way
}

// o[16, D] of each warp = sum over keys begin ... end - 1 of 2^(s - m) v, with m the rows' largest s = q k log2(e) / sqrt(size)
// and l (whose four lanes a row are still to be added) the sum of the 2^(s - m). Queries are already asked for by load_rows.
// `tiles` holds four tiles of STEP rows: keys and values, twice.
__device__ __forceinline__ void attend(
    const T* queries, T* tiles, const HeadRows& keys, const HeadRows& values, int begin, int end, int size, const Sight& sight,
    float (&o)[D / 8][4], float (&m)[2], float (&l)[2]) {
    enum { TILE = STEP * PITCH };
    float scale = LOG2_E / sqrtf((float)size);
    m[0] = m[1] = -QS_INFINITY;
    l[0] = l[1] = 0;
    auto load = [&](int k0, int turn) {
        load_rows(tiles + turn * 2 * TILE, STEP, keys, k0, end, size);
        load_rows(tiles + turn * 2 * TILE + TILE, STEP, values, k0, end, size);
    };
    for_tiles(begin, end, STEP, load, [&](int k0, int turn) {
        if (k0 >= sight.most) return;                          // the same for all lanes of a warp
        const T* tile = tiles + turn * 2 * TILE;
        float s[STEP / 8][4] = {};
        multiply_rows(s, queries, tile);
        bool all = k0 + STEP <= sight.sure;
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float largest = m[half];
#pragma unroll
            for (int j = 0; j < STEP / 8; j++)
#pragma unroll
                for (int e = 2 * half; e < 2 * half + 2; e++) {
                    int key = k0 + j * 8 + threadIdx.x % 4 * 2 + e % 2;
                    bool seen = all || key < sight.prefix[half] || key == sight.own[half];
                    s[j][e] = seen ? s[j][e] * scale : -QS_INFINITY;
                    largest = fmaxf(largest, s[j][e]);
                }
            largest = fmaxf(largest, __shfl_xor_sync(FULL_WARP, largest, 1));
            largest = fmaxf(largest, __shfl_xor_sync(FULL_WARP, largest, 2));
            float origin = largest == -QS_INFINITY ? 0 : largest;           // nothing seen yet: not -inf - (-inf)
            float factor = exp2f(m[half] - origin), sum = 0;
            m[half] = largest;
#pragma unroll
            for (int j = 0; j < STEP / 8; j++)
#pragma unroll
                for (int e = 2 * half; e < 2 * half + 2; e++) sum += s[j][e] = exp2f(s[j][e] - origin);
            l[half] = l[half] * factor + sum;
#pragma unroll
            for (int j = 0; j < D / 8; j++) {
                o[j][2 * half] *= factor;
                o[j][2 * half + 1] *= factor;
            }
        }
        multiply_columns(o, s, tile + TILE);
    });
}
