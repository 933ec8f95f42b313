// qs.cuh - the only header a QSharp kernel includes. It needs no CUDA header, so NVRTC compiles it as it is;
// g++ compiles the same kernels against stand-in/simt.h. What would be inline PTX in a kernel is a named function with two
// bodies: PTX here, plain C++ there. Kernels hold no `asm` of their own.
// A variant's definitions come as macros (QS_T=bf16, QS_D=64); T and W below are the types that QS_T and QS_W name.
#pragma once

#ifndef QS_VARIANT
#define QS_VARIANT
#endif
#define QS_PASTE_(a, b) a##b
#define QS_PASTE(a, b) QS_PASTE_(a, b)
#define QS_NAME(name) QS_PASTE(name, QS_VARIANT)   // a kernel's symbol: its name and its variant's suffix

#if defined(__CUDACC_RTC__) || defined(__CUDACC__)
// ------------------------------------------------------------------------------------------------ device (PTX)
#define QS_KERNEL(name)                                        /* registration concerns the stand-in alone */
#define QS_SHARED(type, name, count) __shared__ __align__(16) type name[count]
#define QS_DYN_SHARED(type, name)                              \
    extern __shared__ __align__(128) unsigned char qs_dyn_[];  \
    type* name = reinterpret_cast<type*>(qs_dyn_)
#define QS_INFINITY __int_as_float(0x7f800000)

struct bf16 { unsigned short bits; };

__device__ __forceinline__ bf16 to_bf16(float value) {         // to nearest, ties to even
    bf16 result;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
    return result;
}
__device__ __forceinline__ unsigned pack_bf16(float low, float high) {
    unsigned result;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
    return result;
}
__device__ __forceinline__ unsigned shared_address(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }

// 16 bytes from global to shared memory, asynchronously and past L1. `valid` false writes zeros and reads nothing.
__device__ __forceinline__ void cp_async16(void* shared, const void* global, bool valid = true) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :: "r"(shared_address(shared)), "l"(__cvta_generic_to_global(global)), "r"(valid ? 16 : 0) : "memory");
}
__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Until at most Pending of this thread's groups are in flight. Other threads see the copies after a barrier.
template <int Pending> __device__ __forceinline__ void cp_async_wait() {
    asm volatile("cp.async.wait_group %0;" :: "n"(Pending) : "memory");
}
// Four (two) 8x8 tiles of 16-bit values in shared memory; lane i passes the address of row i%8 of tile i/8.
// Lane i receives of each tile the elements 2(i%4), 2(i%4)+1 of row i/4; with _trans those of the transposed tile.
__device__ __forceinline__ void ldmatrix_x4(unsigned (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
}
__device__ __forceinline__ void ldmatrix_x4_trans(unsigned (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
}
__device__ __forceinline__ void ldmatrix_x2(unsigned (&r)[2], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1]) : "r"(shared_address(row)) : "memory");
}
__device__ __forceinline__ void ldmatrix_x2_trans(unsigned (&r)[2], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1]) : "r"(shared_address(row)) : "memory");
}
// c[16x8] += a[16x16] b[16x8], bf16 in, fp32 sums. Lane i holds of c: row i/4, columns 2(i%4) and +1, and the same of row i/4+8.
__device__ __forceinline__ void mma_16816(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
#else
#include "simt.h"   // the stand-in: the same names in plain C++
#endif

// ------------------------------------------------------------------------------------------------ bf16 and float alike
__device__ __forceinline__ float to_float(bf16 value) { return __uint_as_float((unsigned)value.bits << 16); }
__device__ __forceinline__ float to_float(float value) { return value; }
__device__ __forceinline__ float low_bf16(unsigned pair) { return __uint_as_float(pair << 16); }
__device__ __forceinline__ float high_bf16(unsigned pair) { return __uint_as_float(pair & 0xffff0000u); }

template <class Type> __device__ __forceinline__ Type from_float(float value);
template <> __device__ __forceinline__ float from_float<float>(float value) { return value; }
template <> __device__ __forceinline__ bf16 from_float<bf16>(float value) { return to_bf16(value); }

// Four or eight elements as floats, by 16-byte accesses (four bf16: 8 bytes), to which p must be aligned.
__device__ __forceinline__ void load4(float (&v)[4], const float* p) {
    float4 a = *reinterpret_cast<const float4*>(p);
    v[0] = a.x; v[1] = a.y; v[2] = a.z; v[3] = a.w;
}
__device__ __forceinline__ void load4(float (&v)[4], const bf16* p) {
    uint2 a = *reinterpret_cast<const uint2*>(p);
    v[0] = low_bf16(a.x); v[1] = high_bf16(a.x); v[2] = low_bf16(a.y); v[3] = high_bf16(a.y);
}
__device__ __forceinline__ void load8(float (&v)[8], const float* p) {
    float4 a = reinterpret_cast<const float4*>(p)[0], b = reinterpret_cast<const float4*>(p)[1];
    v[0] = a.x; v[1] = a.y; v[2] = a.z; v[3] = a.w;
    v[4] = b.x; v[5] = b.y; v[6] = b.z; v[7] = b.w;
}
__device__ __forceinline__ void load8(float (&v)[8], const bf16* p) {
    uint4 a = *reinterpret_cast<const uint4*>(p);
    v[0] = low_bf16(a.x); v[1] = high_bf16(a.x); v[2] = low_bf16(a.y); v[3] = high_bf16(a.y);
    v[4] = low_bf16(a.z); v[5] = high_bf16(a.z); v[6] = low_bf16(a.w); v[7] = high_bf16(a.w);
}
__device__ __forceinline__ void store4(float* p, const float (&v)[4]) {
    *reinterpret_cast<float4*>(p) = make_float4(v[0], v[1], v[2], v[3]);
}
__device__ __forceinline__ void store4(bf16* p, const float (&v)[4]) {
    *reinterpret_cast<uint2*>(p) = make_uint2(pack_bf16(v[0], v[1]), pack_bf16(v[2], v[3]));
}
__device__ __forceinline__ void store8(float* p, const float (&v)[8]) {
    reinterpret_cast<float4*>(p)[0] = make_float4(v[0], v[1], v[2], v[3]);
    reinterpret_cast<float4*>(p)[1] = make_float4(v[4], v[5], v[6], v[7]);
}
__device__ __forceinline__ void store8(bf16* p, const float (&v)[8]) {
    *reinterpret_cast<uint4*>(p) = make_uint4(pack_bf16(v[0], v[1]), pack_bf16(v[2], v[3]), pack_bf16(v[4], v[5]), pack_bf16(v[6], v[7]));
}

// Whether all of these addresses allow 16-byte accesses.
template <class... Pointers> __device__ __forceinline__ bool aligned16(const Pointers*... p) { return (((size_t)p | ...) & 15) == 0; }

// Four or eight elements, or the `left` ones that a row has left, if they are fewer; the rest load as 0. `wide`: all are
// there, and the address allows 16-byte accesses.
template <int Count, class Type> __device__ __forceinline__ void load_part(float (&v)[Count], const Type* p, bool wide, long long left) {
    if (wide) {
        if constexpr (Count == 4) load4(v, p);
        else load8(v, p);
    } else {
        for (int i = 0; i < Count; i++) v[i] = i < left ? to_float(p[i]) : 0;
    }
}
template <int Count, class Type> __device__ __forceinline__ void store_part(Type* p, const float (&v)[Count], bool wide, long long left) {
    if (wide) {
        if constexpr (Count == 4) store4(p, v);
        else store8(p, v);
    } else {
        for (int i = 0; i < Count; i++)
            if (i < left) p[i] = from_float<Type>(v[i]);
    }
}

// ------------------------------------------------------------------------------------------------ reductions, in a fixed order
#define FULL_WARP 0xffffffffu

__device__ __forceinline__ float larger(float a, float b) { return fmaxf(a, b); }
__device__ __forceinline__ int larger(int a, int b) { return a > b ? a : b; }
__device__ __forceinline__ unsigned larger(unsigned a, unsigned b) { return a > b ? a : b; }
__device__ __forceinline__ unsigned long long larger(unsigned long long a, unsigned long long b) { return a > b ? a : b; }
struct Sum { template <class Type> __device__ __forceinline__ Type operator()(Type a, Type b) const { return a + b; } };
struct Largest { template <class Type> __device__ __forceinline__ Type operator()(Type a, Type b) const { return larger(a, b); } };

// Every lane receives its group's result; groups are Width neighbouring lanes (a power of two) of a full warp.
template <int Width = 32, class Type> __device__ __forceinline__ Type warp_sum(Type v) {
    for (int d = Width / 2; d; d >>= 1) v += __shfl_xor_sync(FULL_WARP, v, d);
    return v;
}
template <int Width = 32, class Type> __device__ __forceinline__ Type warp_max(Type v) {
    for (int d = Width / 2; d; d >>= 1) v = larger(v, __shfl_xor_sync(FULL_WARP, v, d));
    return v;
}

// Every thread of a one-dimensional block of up to 1024 threads, of any number, receives the block's result: warp by warp,
// then over the warps in order. All threads must call it; it has two barriers, so calls may follow each other at once.
template <class Combine, class Type> __device__ __forceinline__ Type block_reduce(Type v, Combine combine) {
    QS_SHARED(Type, partial, 32);
    unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, left = blockDim.x - warp * 32;
    unsigned mask = left < 32 ? (1u << left) - 1 : FULL_WARP;   // the last warp may lack lanes
    for (unsigned d = 16; d; d >>= 1) {
        Type other = __shfl_down_sync(mask, v, d);
        if (lane + d < 32 && lane + d < left) v = combine(v, other);
    }
    __syncthreads();                                           // the readers of an earlier call are done
    if (lane == 0) partial[warp] = v;
    __syncthreads();
    v = partial[0];
    for (unsigned w = 1; w < (blockDim.x + 31) / 32; w++) v = combine(v, partial[w]);
    return v;
}
template <class Type> __device__ __forceinline__ Type block_sum(Type v) { return block_reduce(v, Sum{}); }
template <class Type> __device__ __forceinline__ Type block_max(Type v) { return block_reduce(v, Largest{}); }

// A 64-bit key that orders as the value does, equal values by the smaller index first: the largest key is the argmax.
__device__ __forceinline__ unsigned long long order_key(float value, unsigned index) {
    unsigned u = __float_as_uint(value);
    u = (u & 0x80000000u) ? ~u : (u | 0x80000000u);
    return ((unsigned long long)u << 32) | (unsigned)~index;
}
__device__ __forceinline__ unsigned key_index(unsigned long long key) { return ~(unsigned)key; }
__device__ __forceinline__ float key_value(unsigned long long key) {
    unsigned u = (unsigned)(key >> 32);
    return __uint_as_float((u & 0x80000000u) ? (u & 0x7fffffffu) : ~u);
}

// ------------------------------------------------------------------------------------------------ random numbers
// Philox-4x32-10 (Salmon et al., SC 2011), bit for bit that of src/Engine/Philox.cs.
__device__ __forceinline__ uint4 philox(unsigned long long key, unsigned c0, unsigned c1, unsigned c2, unsigned c3) {
    unsigned k0 = (unsigned)key, k1 = (unsigned)(key >> 32);
    for (int round = 0; round < 10; round++) {
        unsigned h0 = __umulhi(0xD2511F53u, c0), l0 = 0xD2511F53u * c0, h1 = __umulhi(0xCD9E8D57u, c2), l1 = 0xCD9E8D57u * c2;
        c0 = h1 ^ c1 ^ k0; c1 = l1; c2 = h0 ^ c3 ^ k1; c3 = l0;
        k0 += 0x9E3779B9u; k1 += 0xBB67AE85u;
    }
    return make_uint4(c0, c1, c2, c3);
}
// A uniform number in (0, 1), never 0 and never 1.
__device__ __forceinline__ float uniform(unsigned bits) { return ((float)(bits >> 9) + 0.5f) * (1.0f / 8388608.0f); }

// ------------------------------------------------------------------------------------------------ the types of a variant
#ifdef QS_T
using T = QS_T;
#endif
#ifdef QS_W
using W = QS_W;
#endif
