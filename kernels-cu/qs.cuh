// qs.cuh - the only header a QSharp kernel includes. It needs no CUDA header, so NVRTC compiles it as it is;
// g++ compiles the same kernels against cpu/simt.h. Everything that would be inline PTX in a kernel is a named
// function here with two bodies: PTX on the device, plain C++ in the stand-in. Kernels hold no `asm` of their own.
#pragma once

// A kernel's symbol bears the suffix of its variant, which the compiler's command line gives: rms_norm_bf16.
#define QS_PASTE_(a, b) a##b
#define QS_PASTE(a, b) QS_PASTE_(a, b)
#define QS_NAME(name) QS_PASTE(name, QS_VARIANT)

#if defined(__CUDACC_RTC__) || defined(__CUDACC__)
// ------------------------------------------------------------------------------------------------ device (PTX)
#define QS_KERNEL(name)                                        /* registration is a CPU matter */
#define QS_SHARED(type, name, count) __shared__ type name[count]
#define QS_DYN_SHARED(type, name)                              \
    extern __shared__ __align__(128) unsigned char qs_dyn_[];  \
    type* name = reinterpret_cast<type*>(qs_dyn_)
#define QS_INFINITY __int_as_float(0x7f800000)

struct bf16 { unsigned short bits; };

__device__ __forceinline__ float to_float(bf16 h) { return __uint_as_float((unsigned)h.bits << 16); }

__device__ __forceinline__ bf16 to_bf16(float f) {             // round to nearest even
    bf16 h;
#if __CUDA_ARCH__ >= 800
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(h.bits) : "f"(f));
#else
    unsigned u = __float_as_uint(f);
    h.bits = (f != f) ? 0x7fff : (unsigned short)((u + 0x7fffu + ((u >> 16) & 1)) >> 16);
#endif
    return h;
}
__device__ __forceinline__ unsigned pack_bf16(float lo, float hi) {   // lo in the low half
    unsigned r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
    return r;
}
__device__ __forceinline__ unsigned shared_address(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }

// 16 bytes global -> shared, asynchronously, bypassing L1. `valid` false writes zeros (no global read).
__device__ __forceinline__ void cp_async16(void* shared, const void* global, bool valid = true) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :: "r"(shared_address(shared)), "l"(__cvta_generic_to_global(global)), "r"(valid ? 16 : 0) : "memory");
}
__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int Pending> __device__ __forceinline__ void cp_async_wait() {   // until at most Pending groups are in flight
    asm volatile("cp.async.wait_group %0;" :: "n"(Pending) : "memory");
}
// Four 8x8 tiles of 16-bit values; lane i passes the address of row i%8 of tile i/8.
__device__ __forceinline__ void ldmatrix_x4(unsigned (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
}
__device__ __forceinline__ void ldmatrix_x4_trans(unsigned (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
}
// c[16x8] += a[16x16] b[16x8], bf16 in, fp32 accumulate.
__device__ __forceinline__ void mma_16816(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
#else
#include "simt.h"   // the CPU stand-in: same names, plain C++
#endif

// ------------------------------------------------------------------------------------------------ shared by both
#define FULL_WARP 0xffffffffu

__device__ __forceinline__ float to_float(float f) { return f; }
template <class E> __device__ __forceinline__ E from_float(float f);
template <> __device__ __forceinline__ float from_float<float>(float f) { return f; }
template <> __device__ __forceinline__ bf16 from_float<bf16>(float f) { return to_bf16(f); }


__device__ __forceinline__ float warp_sum(float v) {
    for (int d = 16; d; d >>= 1) v += __shfl_xor_sync(FULL_WARP, v, d);
    return v;
}
__device__ __forceinline__ float warp_max(float v) {
    for (int d = 16; d; d >>= 1) v = fmaxf(v, __shfl_xor_sync(FULL_WARP, v, d));
    return v;
}

// Eight elements as floats, by 16-byte loads; p must be 16-byte aligned.
__device__ __forceinline__ void load8(float (&v)[8], const float* p) {
    float4 a = __ldg(reinterpret_cast<const float4*>(p)), b = __ldg(reinterpret_cast<const float4*>(p) + 1);
    v[0] = a.x; v[1] = a.y; v[2] = a.z; v[3] = a.w;
    v[4] = b.x; v[5] = b.y; v[6] = b.z; v[7] = b.w;
}
__device__ __forceinline__ void load8(float (&v)[8], const bf16* p) {
    uint4 a = __ldg(reinterpret_cast<const uint4*>(p));
    v[0] = __uint_as_float(a.x << 16); v[1] = __uint_as_float(a.x & 0xffff0000u);
    v[2] = __uint_as_float(a.y << 16); v[3] = __uint_as_float(a.y & 0xffff0000u);
    v[4] = __uint_as_float(a.z << 16); v[5] = __uint_as_float(a.z & 0xffff0000u);
    v[6] = __uint_as_float(a.w << 16); v[7] = __uint_as_float(a.w & 0xffff0000u);
}

// ------------------------------------------------------------------------------------------------ the types of a variant
#ifdef QS_T
using T = QS_T;
#endif
#ifdef QS_W
using W = QS_W;
#endif
