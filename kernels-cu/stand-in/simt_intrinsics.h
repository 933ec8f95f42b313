// simt_intrinsics.h - CUDA's built-in functions and the named operations of qs.cuh, in C++. Included by simt.h.
#pragma once

// ---- shuffles: `source` is the lane to read
namespace simt {
template <class Value> struct ShuffleIn { Value value; int source; };
template <class Value> Value shuffle(unsigned mask, Value v, int source, int line) {
    ShuffleIn<Value> in{v, source};
    Value out = v;
    warp_op(Op::Shuffle, mask, &in, &out, [](unsigned m, void* const* in, void* const* out, const void*) {
        for (int i = 0; i < 32; i++) {
            if (!(m >> i & 1)) continue;
            auto* a = static_cast<ShuffleIn<Value>*>(in[i]);
            bool there = m >> a->source & 1;               // what a lane outside the mask holds is undefined: NaN
            if (there) *static_cast<Value*>(out[i]) = static_cast<ShuffleIn<Value>*>(in[a->source])->value;
            else memset(out[i], 0xff, sizeof(Value));
        }
    }, nullptr, line);
    return out;
}
static inline int segment(int width) { return (int)self->lane & ~(width - 1); }
}  // namespace simt
template <class Value> Value __shfl_sync(unsigned m, Value v, int source, int width = 32, QS_LINE) {
    return simt::shuffle(m, v, simt::segment(width) + (source & (width - 1)), line);
}
template <class Value> Value __shfl_xor_sync(unsigned m, Value v, int d, int width = 32, QS_LINE) {
    int s = (int)simt::self->lane ^ d;
    return simt::shuffle(m, v, s < simt::segment(width) + width ? s : (int)simt::self->lane, line);
}
template <class Value> Value __shfl_down_sync(unsigned m, Value v, unsigned d, int width = 32, QS_LINE) {
    int s = (int)(simt::self->lane + d);
    return simt::shuffle(m, v, s < simt::segment(width) + width ? s : (int)simt::self->lane, line);
}
template <class Value> Value __shfl_up_sync(unsigned m, Value v, unsigned d, int width = 32, QS_LINE) {
    int s = (int)simt::self->lane - (int)d;
    return simt::shuffle(m, v, s >= simt::segment(width) ? s : (int)simt::self->lane, line);
}
static inline unsigned __ballot_sync(unsigned mask, int p, QS_LINE) {
    unsigned out = 0;
    p = p != 0;
    simt::warp_op(simt::Op::Vote, mask, &p, &out, [](unsigned m, void* const* in, void* const* out, const void*) {
        unsigned b = 0;
        for (int i = 0; i < 32; i++) if (m >> i & 1) b |= (unsigned)*static_cast<int*>(in[i]) << i;
        for (int i = 0; i < 32; i++) if (m >> i & 1) *static_cast<unsigned*>(out[i]) = b;
    }, nullptr, line);
    return out;
}
static inline int __any_sync(unsigned m, int p, QS_LINE) { return __ballot_sync(m, p, line) != 0; }
static inline int __all_sync(unsigned m, int p, QS_LINE) { return __ballot_sync(m, p, line) == m; }

// ---- numbers
static inline float __uint_as_float(unsigned u) { float f; memcpy(&f, &u, 4); return f; }
static inline unsigned __float_as_uint(float f) { unsigned u; memcpy(&u, &f, 4); return u; }
static inline int __float_as_int(float f) { return (int)__float_as_uint(f); }
static inline float __int_as_float(int i) { return __uint_as_float((unsigned)i); }
static inline long long __double_as_longlong(double d) { long long l; memcpy(&l, &d, 8); return l; }
static inline double __longlong_as_double(long long l) { double d; memcpy(&d, &l, 8); return d; }
#define __expf(x) expf(x)                          // macros, as glibc declares functions of these names
#define __logf(x) logf(x)
#define __log2f(x) log2f(x)
#define __sinf(x) sinf(x)
#define __cosf(x) cosf(x)
#define __powf(x, y) powf(x, y)
#define __sincosf(x, s, c) sincosf(x, s, c)
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
static inline float __frsqrt_rn(float x) { return (float)(1.0 / sqrt((double)x)); }
static inline float __fsqrt_rn(float x) { return sqrtf(x); }
static inline float __frcp_rn(float x) { return 1.0f / x; }
static inline float __fdividef(float a, float b) { return a / b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline float __saturatef(float x) { return x > 0 ? x < 1 ? x : 1.0f : 0.0f; }
namespace simt {                                   // CUDA's conversions saturate, and give 0 for NaN
static inline int to_int(double x) { return x != x ? 0 : x <= -2147483648.0 ? -2147483647 - 1 : x >= 2147483647.0 ? 2147483647 : (int)x; }
static inline unsigned to_uint(double x) { return !(x > 0) ? 0 : x >= 4294967295.0 ? 4294967295u : (unsigned)x; }
}  // namespace simt
static inline int __float2int_rn(float x) { return simt::to_int(rint((double)x)); }
static inline int __float2int_rz(float x) { return simt::to_int(trunc((double)x)); }
static inline int __float2int_rd(float x) { return simt::to_int(floor((double)x)); }
static inline int __float2int_ru(float x) { return simt::to_int(ceil((double)x)); }
static inline unsigned __float2uint_rn(float x) { return simt::to_uint(rint((double)x)); }
static inline unsigned __float2uint_rz(float x) { return simt::to_uint(trunc((double)x)); }
static inline float __int2float_rn(int x) { return (float)x; }
static inline float __uint2float_rn(unsigned x) { return (float)x; }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __ffsll(long long x) { return __builtin_ffsll(x); }
static inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
static inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
static inline unsigned __brev(unsigned x) {
    unsigned r = 0;
    for (int i = 0; i < 32; i++) r |= (x >> i & 1) << (31 - i);
    return r;
}
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
static inline int __mulhi(int a, int b) { return (int)((int64_t)a * b >> 32); }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
static inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned n) {
    return (unsigned)((((uint64_t)high << 32 | low) << (n & 31)) >> 32);
}
static inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned n) {
    return (unsigned)(((uint64_t)high << 32 | low) >> (n & 31));
}
#define QS_MINMAX(type)                                            \
    static inline type min(type a, type b) { return a < b ? a : b; } \
    static inline type max(type a, type b) { return a > b ? a : b; }
QS_MINMAX(int) QS_MINMAX(unsigned) QS_MINMAX(long) QS_MINMAX(unsigned long) QS_MINMAX(long long) QS_MINMAX(unsigned long long)
static inline unsigned min(int a, unsigned b) { return min((unsigned)a, b); }
static inline unsigned min(unsigned a, int b) { return min(a, (unsigned)b); }
static inline unsigned max(int a, unsigned b) { return max((unsigned)a, b); }
static inline unsigned max(unsigned a, int b) { return max(a, (unsigned)b); }
static inline float min(float a, float b) { return fminf(a, b); }
static inline float max(float a, float b) { return fmaxf(a, b); }
static inline double min(double a, double b) { return fmin(a, b); }
static inline double max(double a, double b) { return fmax(a, b); }

// ---- loads and stores with a hint to the cache
template <class Value> Value __ldg(const Value* p) { return *p; }
template <class Value> Value __ldcs(const Value* p) { return *p; }
template <class Value> Value __ldcg(const Value* p) { return *p; }
template <class Value> void __stcs(Value* p, std::type_identity_t<Value> v) { *p = v; }
template <class Value> void __stcg(Value* p, std::type_identity_t<Value> v) { *p = v; }

// ---- atomics: fibers switch at synchronisation only, so reading, changing and writing is atomic
#define QS_UNCHECKED __attribute__((noinline, no_sanitize("thread", "alignment")))
#define QS_ATOMIC(name, now)                                                                   \
    template <class Value> QS_UNCHECKED Value name(Value* p, std::type_identity_t<Value> v, QS_LINE) { \
        simt::mark_atomic(p, sizeof(Value), line);                                             \
        Value old = *p;                                                                        \
        *p = (now);                                                                            \
        return old;                                                                            \
    }
QS_ATOMIC(atomicAdd, old + v)
QS_ATOMIC(atomicSub, old - v)
QS_ATOMIC(atomicMax, old > v ? old : v)
QS_ATOMIC(atomicMin, old < v ? old : v)
QS_ATOMIC(atomicAnd, old & v)
QS_ATOMIC(atomicOr, old | v)
QS_ATOMIC(atomicXor, old ^ v)
QS_ATOMIC(atomicExch, v)
QS_ATOMIC(atomicInc, old >= v ? 0 : old + 1)
template <class Value>
QS_UNCHECKED Value atomicCAS(Value* p, std::type_identity_t<Value> expected, std::type_identity_t<Value> v, QS_LINE) {
    simt::mark_atomic(p, sizeof(Value), line);
    Value old = *p;
    if (old == expected) *p = v;
    return old;
}

// ---- the named operations of qs.cuh
struct bf16 { unsigned short bits; };
static inline bf16 to_bf16(float f) {              // to nearest, ties to even; NaN as the card gives it
    unsigned u = __float_as_uint(f);
    return {(f != f) ? (unsigned short)0x7fff : (unsigned short)((u + 0x7fffu + ((u >> 16) & 1)) >> 16)};
}
static inline unsigned pack_bf16(float low, float high) { return to_bf16(low).bits | (unsigned)to_bf16(high).bits << 16; }
static inline void cp_async16(void* shared, const void* global, bool valid = true, QS_LINE) {
    simt::async_copy16(shared, global, valid, line);
}
static inline void cp_async_commit() { simt::async_commit(); }
template <int Pending> void cp_async_wait() { simt::async_wait(Pending); }
namespace simt {
void ldmatrix(unsigned* r, const void* row, int tiles, bool transposed, int line);
void mma16816(float* c, const unsigned* a, unsigned b0, unsigned b1, int line);
}  // namespace simt
static inline void ldmatrix_x4(unsigned (&r)[4], const void* row, QS_LINE) { simt::ldmatrix(r, row, 4, false, line); }
static inline void ldmatrix_x4_trans(unsigned (&r)[4], const void* row, QS_LINE) { simt::ldmatrix(r, row, 4, true, line); }
static inline void ldmatrix_x2(unsigned (&r)[2], const void* row, QS_LINE) { simt::ldmatrix(r, row, 2, false, line); }
static inline void ldmatrix_x2_trans(unsigned (&r)[2], const void* row, QS_LINE) { simt::ldmatrix(r, row, 2, true, line); }
static inline void mma_16816(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, QS_LINE) {
    simt::mma16816(c, a, b0, b1, line);
}
