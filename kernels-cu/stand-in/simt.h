// simt.h - CPU stand-in: makes g++/clang++ accept a QSharp kernel as C++ and run it exactly, one fiber per CUDA thread.
// The runtime is simt.cpp. With -fsanitize=thread (compile only; libtsan is not linked) the compiler calls a hook at
// every load and store, and simt.cpp answers those hooks itself: bounds, alignment, uninitialised reads, data races.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
#define __constant__ static
#define QS_INFINITY __builtin_inff()

struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(16) int4 { int x, y, z, w; };
struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x = 1, y = 1, z = 1; };
static inline float4 make_float4(float a, float b, float c, float d) { return {a, b, c, d}; }
static inline uint4 make_uint4(unsigned a, unsigned b, unsigned c, unsigned d) { return {a, b, c, d}; }

namespace simt {
// ---- what a kernel sees of its position
struct Thread { uint3 index; unsigned lane; };
struct Grid { uint3 block; dim3 block_dim, grid_dim; };
extern Thread* self;      // the running CUDA thread
extern Grid grid;

// ---- shared memory: one arena a block, red zones between variables, poisoned with NaN at block start
void* shared_slot(const void* tag, size_t bytes, size_t align);
void* dynamic_shared();

// ---- barriers and warp-wide operations
enum BarrierOp { Plain, And, Or, Count };
int barrier(BarrierOp op, int predicate, int line);
void warp_barrier(unsigned mask, int line);

// All lanes of `mask` arrive with an input; the last one computes every lane's output in one go.
enum class Op { Shfl, Vote, Reduce, Match, Ldmatrix, Mma };
using Body = void (*)(unsigned mask, void* const* in, void* const* out, const void* arg);
void warp_op(Op op, unsigned mask, void* in, void* out, Body body, const void* arg, int line);

// ---- asynchronous copies happen only when waited for, so a missing wait reads poison
void async_copy16(void* shared, const void* global, bool valid, int line);
void async_commit();
void async_wait(int pending);

// ---- atomics are marked, so that the race check tells them from plain accesses
void mark_atomic(const void* p, size_t n, int line);

// ---- registry of kernels: name -> typed launcher
struct KernelInfo {
    const char* name;
    int params;
    const size_t* sizes;
    void (*call)(void** args);
};
void register_kernel(const KernelInfo& k);

template <class... A> struct Signature {
    static constexpr size_t sizes[sizeof...(A) + 1] = {sizeof(A)..., 0};
    template <void (*F)(A...)> static void call(void** args) { go<F>(args, std::index_sequence_for<A...>{}); }
    template <void (*F)(A...), size_t... I> static void go(void** args, std::index_sequence<I...>) { F(*static_cast<A*>(args[I])...); }
};
template <auto F> struct Register;
template <class... A, void (*F)(A...)> struct Register<F> {
    explicit Register(const char* name) {
        register_kernel({name, (int)sizeof...(A), Signature<A...>::sizes, &Signature<A...>::template call<F>});
    }
};
}  // namespace simt

#define QS_TEXT_(x) #x
#define QS_TEXT(x) QS_TEXT_(x)
#define QS_KERNEL(name) static simt::Register<&QS_NAME(name)> qs_register_##name(QS_TEXT(QS_NAME(name)));
#define QS_SHARED(type, name, count)                                                     \
    static char qs_tag_##name;                                                           \
    type(&name)[count] = *static_cast<type(*)[count]>(simt::shared_slot(&qs_tag_##name, sizeof(type[count]), 16))
#define QS_DYN_SHARED(type, name) type* name = static_cast<type*>(simt::dynamic_shared())

#define threadIdx (simt::self->index)
#define blockIdx (simt::grid.block)
#define blockDim (simt::grid.block_dim)
#define gridDim (simt::grid.grid_dim)
constexpr int warpSize = 32;
#define QS_LINE int line = __builtin_LINE()

static inline void __syncthreads(QS_LINE) { simt::barrier(simt::Plain, 0, line); }
static inline int __syncthreads_or(int p, QS_LINE) { return simt::barrier(simt::Or, p, line); }
static inline int __syncthreads_and(int p, QS_LINE) { return simt::barrier(simt::And, p, line); }
static inline int __syncthreads_count(int p, QS_LINE) { return simt::barrier(simt::Count, p, line); }
static inline void __syncwarp(unsigned mask = 0xffffffffu, QS_LINE) { simt::warp_barrier(mask, line); }
static inline void __threadfence() {}
static inline void __threadfence_block() {}
static inline unsigned __activemask() = delete;   // depends on the schedule: not allowed in a QSharp kernel

// ---- shuffles: `source` maps a lane to the lane it reads
namespace simt {
template <class T> struct ShflIn { T value; int source; };
template <class T> T shfl(unsigned mask, T v, int source, int line) {
    ShflIn<T> in{v, source};
    T out = v;
    warp_op(Op::Shfl, mask, &in, &out, [](unsigned m, void* const* in, void* const* out, const void*) {
        for (int i = 0; i < 32; i++)
            if (m >> i & 1) {
                auto* a = static_cast<ShflIn<T>*>(in[i]);
                bool there = m >> a->source & 1;           // reading a lane outside the mask is undefined: hand out poison
                if (there) *static_cast<T*>(out[i]) = static_cast<ShflIn<T>*>(in[a->source])->value;
                else memset(out[i], 0xff, sizeof(T));
            }
    }, nullptr, line);
    return out;
}
static inline int seg(int width) { return (int)self->lane & ~(width - 1); }
}
template <class T> T __shfl_sync(unsigned m, T v, int src, int w = 32, QS_LINE) { return simt::shfl(m, v, simt::seg(w) + (src & (w - 1)), line); }
template <class T> T __shfl_xor_sync(unsigned m, T v, int d, int w = 32, QS_LINE) {
    int s = (int)simt::self->lane ^ d; return simt::shfl(m, v, s < simt::seg(w) + w ? s : (int)simt::self->lane, line);
}
template <class T> T __shfl_down_sync(unsigned m, T v, unsigned d, int w = 32, QS_LINE) {
    int s = (int)simt::self->lane + (int)d; return simt::shfl(m, v, s < simt::seg(w) + w ? s : (int)simt::self->lane, line);
}
template <class T> T __shfl_up_sync(unsigned m, T v, unsigned d, int w = 32, QS_LINE) {
    int s = (int)simt::self->lane - (int)d; return simt::shfl(m, v, s >= simt::seg(w) ? s : (int)simt::self->lane, line);
}
static inline unsigned __ballot_sync(unsigned mask, int p, QS_LINE) {
    unsigned out = 0; p = p != 0;
    simt::warp_op(simt::Op::Vote, mask, &p, &out, [](unsigned m, void* const* in, void* const* out, const void*) {
        unsigned b = 0;
        for (int i = 0; i < 32; i++) if (m >> i & 1) b |= (unsigned)*static_cast<int*>(in[i]) << i;
        for (int i = 0; i < 32; i++) if (m >> i & 1) *static_cast<unsigned*>(out[i]) = b;
    }, nullptr, line);
    return out;
}
static inline int __any_sync(unsigned m, int p, QS_LINE) { return __ballot_sync(m, p, line) != 0; }
static inline int __all_sync(unsigned m, int p, QS_LINE) { return __ballot_sync(m, p, line) == m; }

// ---- scalar helpers
static inline float __uint_as_float(unsigned u) { float f; memcpy(&f, &u, 4); return f; }
static inline unsigned __float_as_uint(float f) { unsigned u; memcpy(&u, &f, 4); return u; }
static inline int __float_as_int(float f) { return (int)__float_as_uint(f); }
static inline float __int_as_float(int i) { return __uint_as_float((unsigned)i); }
#define __expf(x) expf(x)                          // macros: glibc declares functions of these names
#define __logf(x) logf(x)
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
static inline float __fdividef(float a, float b) { return a / b; }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }
template <class T> T __ldg(const T* p) { return *p; }
template <class T> T __ldcs(const T* p) { return *p; }

// ---- atomics (fibers switch only at synchronisation, so a plain read-modify-write is atomic here)
#define QS_UNCHECKED __attribute__((noinline, no_sanitize("thread")))
#define QS_ATOMIC(name, expr)                                                   \
    template <class T> QS_UNCHECKED T name(T* p, T v, QS_LINE) {                             \
        simt::mark_atomic(p, sizeof(T), line);                                  \
        T old; memcpy(&old, p, sizeof(T)); T now = (expr); memcpy(p, &now, sizeof(T)); return old; }
QS_ATOMIC(atomicAdd, old + v)
QS_ATOMIC(atomicMax, old > v ? old : v)
QS_ATOMIC(atomicMin, old < v ? old : v)
QS_ATOMIC(atomicExch, v)
template <class T> QS_UNCHECKED T atomicCAS(T* p, T expect, T v, QS_LINE) {
    simt::mark_atomic(p, sizeof(T), line);
    T old = *p; if (old == expect) *p = v; return old;
}

// ---- bf16 and the named tensor-core/asynchronous-copy operations of qs.cuh
struct bf16 { unsigned short bits; };
static inline float to_float(bf16 h) { return __uint_as_float((unsigned)h.bits << 16); }
static inline bf16 to_bf16(float f) {
    unsigned u = __float_as_uint(f);
    return {(f != f) ? (unsigned short)0x7fff : (unsigned short)((u + 0x7fffu + ((u >> 16) & 1)) >> 16)};
}
static inline unsigned pack_bf16(float lo, float hi) { return to_bf16(lo).bits | (unsigned)to_bf16(hi).bits << 16; }
static inline void cp_async16(void* s, const void* g, bool valid = true, QS_LINE) { simt::async_copy16(s, g, valid, line); }
static inline void cp_async_commit() { simt::async_commit(); }
template <int Pending> void cp_async_wait() { simt::async_wait(Pending); }
namespace simt {
void ldmatrix(unsigned* r, const void* row, bool trans, int line);
void mma16816(float* c, const unsigned* a, unsigned b0, unsigned b1, int line);
}
static inline void ldmatrix_x4(unsigned (&r)[4], const void* row, QS_LINE) { simt::ldmatrix(r, row, false, line); }
static inline void ldmatrix_x4_trans(unsigned (&r)[4], const void* row, QS_LINE) { simt::ldmatrix(r, row, true, line); }
static inline void mma_16816(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, QS_LINE) { simt::mma16816(c, a, b0, b1, line); }
