// operations: the named operations of qs.cuh, each alone, so that a test can compare it with a few lines of its own.
// variants: none
#include "qs.cuh"

// out[i] = bits of bf16(in[i]), by to_bf16 and by both halves of pack_bf16; they must agree.
extern "C" __global__ void QS_NAME(round_bf16)(const float* in, int* out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    unsigned one = to_bf16(in[i]).bits, pair = pack_bf16(in[i], in[i]);
    out[i] = (pair >> 16) == one && (pair & 0xffff) == one ? (int)one : -1;
}
QS_KERNEL(round_bf16)

// Each lane's registers of ldmatrix over 32 rows of 8 halves, row r holding 8r..8r+7; how: 0 x4, 1 x4_trans, 2 x2, 3 x2_trans.
extern "C" __global__ void QS_NAME(load_matrix)(int* out, int how) {
    QS_SHARED(unsigned short, rows, 256);
    int lane = threadIdx.x;
    for (int c = 0; c < 8; c++) rows[lane * 8 + c] = (unsigned short)(lane * 8 + c);
    __syncwarp();
    unsigned r[4] = {}, two[2] = {};
    const void* row = rows + (how >= 2 ? lane % 16 : lane) * 8;
    if (how == 0) ldmatrix_x4(r, row);
    if (how == 1) ldmatrix_x4_trans(r, row);
    if (how == 2) ldmatrix_x2(two, row);
    if (how == 3) ldmatrix_x2_trans(two, row);
    for (int t = 0; t < 4; t++) out[lane * 4 + t] = how < 2 ? (int)r[t] : t < 2 ? (int)two[t] : 0;
}
QS_KERNEL(load_matrix)

// c[16,8] += a[16,16] b[16,8], row-major bf16, by the documented layout of the registers and by no other operation.
extern "C" __global__ void QS_NAME(mma)(const bf16* a, const bf16* b, float* c) {
    int lane = threadIdx.x, g = lane / 4, t = lane % 4 * 2;
    auto pair = [](bf16 low, bf16 high) { return (unsigned)low.bits | (unsigned)high.bits << 16; };
    unsigned ra[4];
    for (int q = 0; q < 4; q++) {
        int y = g + (q & 1) * 8, x = t + (q >> 1) * 8;
        ra[q] = pair(a[y * 16 + x], a[y * 16 + x + 1]);
    }
    unsigned b0 = pair(b[t * 8 + g], b[(t + 1) * 8 + g]), b1 = pair(b[(t + 8) * 8 + g], b[(t + 9) * 8 + g]);
    float rc[4] = {c[g * 8 + t], c[g * 8 + t + 1], c[(g + 8) * 8 + t], c[(g + 8) * 8 + t + 1]};
    mma_16816(rc, ra, b0, b1);
    c[g * 8 + t] = rc[0];
    c[g * 8 + t + 1] = rc[1];
    c[(g + 8) * 8 + t] = rc[2];
    c[(g + 8) * 8 + t + 1] = rc[3];
}
QS_KERNEL(mma)

// out[i] = in[i] through shared memory by cp.async, in two groups; lanes from `valid` on copy nothing and get zeros.
extern "C" __global__ void QS_NAME(copy_async)(const float* in, float* out, int valid) {
    QS_SHARED(float, s, 256);
    int i = threadIdx.x;
    cp_async16(s + 4 * i, in + 4 * i, i < valid);
    cp_async_commit();
    cp_async16(s + 128 + 4 * i, in + 128 + 4 * i, i < valid);
    cp_async_commit();
    cp_async_wait<1>();
    __syncthreads();
    for (int e = 0; e < 4; e++) out[4 * i + e] = s[4 * i + e];
    cp_async_wait<0>();
    __syncthreads();
    for (int e = 0; e < 4; e++) out[128 + 4 * i + e] = s[128 + 4 * i + e];
}
QS_KERNEL(copy_async)

// out[4i..] = the block of Philox for counters (i, 1, 2, i*i); uniforms[i] = the number of its first word.
extern "C" __global__ void QS_NAME(draw)(int* out, float* uniforms, unsigned long long key, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    uint4 w = philox(key, (unsigned)i, 1, 2, (unsigned)(i * i));
    out[4 * i] = (int)w.x;
    out[4 * i + 1] = (int)w.y;
    out[4 * i + 2] = (int)w.z;
    out[4 * i + 3] = (int)w.w;
    uniforms[i] = uniform(w.x);
}
QS_KERNEL(draw)

// Per thread: [sum of floats, largest float, sum of ints, index of the largest] over the block, each as bits.
extern "C" __global__ void QS_NAME(reduce_block)(const float* in, int* out) {
    int i = threadIdx.x;
    out[4 * i] = __float_as_int(block_sum(in[i]));
    out[4 * i + 1] = __float_as_int(block_max(in[i]));
    out[4 * i + 2] = block_sum(i);
    out[4 * i + 3] = (int)key_index(block_max(order_key(in[i], (unsigned)i)));
}
QS_KERNEL(reduce_block)

// Per lane: sums and maxima of the warp and of its group of eight.
extern "C" __global__ void QS_NAME(reduce_warp)(const float* in, float* out) {
    int i = threadIdx.x;
    out[4 * i] = warp_sum(in[i]);
    out[4 * i + 1] = warp_max(in[i]);
    out[4 * i + 2] = warp_sum<8>(in[i]);
    out[4 * i + 3] = warp_max<8>(in[i]);
}
QS_KERNEL(reduce_warp)

// y = x through load and store of 4 and 8 elements, of both types.
extern "C" __global__ void QS_NAME(vectors)(const float* x, float* y, const bf16* u, bf16* v) {
    int i = threadIdx.x;
    float four[4], eight[8];
    load4(four, x + 12 * i);
    load8(eight, x + 12 * i + 4);
    store4(y + 12 * i, four);
    store8(y + 12 * i + 4, eight);
    load4(four, u + 16 * i);
    store4(v + 16 * i, four);
    load4(four, u + 16 * i + 4);
    store4(v + 16 * i + 4, four);
    load8(eight, u + 16 * i + 8);
    store8(v + 16 * i + 8, eight);
}
QS_KERNEL(vectors)

// Small integer and conversion functions, one value each.
extern "C" __global__ void QS_NAME(scalars)(int* out) {
    int values[] = {
        __float2int_rn(2.5f), __float2int_rn(-3.5f), __float2int_rz(-2.9f), __float2int_rn(3e9f), __popcll(0xf00000000000000full),
        __clzll(1), __clz(0), (int)__brev(1u), __ffs(8), (int)__umulhi(0x80000000u, 6u), min(-1, 2), max(3, 2),
        __float_as_int(fmaf(2.0f, 3.0f, 1.0f)), __float_as_int(rsqrtf(4.0f)), (int)__ballot_sync(1u, 1), __shfl_sync(1u, 7, 0),
    };
    for (int i = 0; i < 16; i++) out[i] = values[i];
}
QS_KERNEL(scalars)
