// simt.h - what a kernel sees of the stand-in for a card: with it, g++ and clang++ take a .cu file as C++ and run it, one
// fiber a CUDA thread. The runtime is simt.cpp (fibers), memory.cpp (device memory and the checker), operations.cpp.
//
// How it is built (StandIn.cs does so on demand):
//   the driver, libqsstandin.so: all .cpp files here, -std=c++20 -O2 -march=native -fPIC -fno-strict-aliasing -shared -Wl,-Bsymbolic -ldl
//   a kernel, fast:              x.cu as C++ (-x c++), -O2 -march=native -ffp-contract=off, the other options as above, its variant's
//                                definitions and -DQS_VARIANT=SUFFIX, linked against the driver
//   a kernel, checked:           the same with -O1 -g -fsanitize=thread,alignment -nodefaultlibs -lstdc++ -lm -lc -lgcc_s, which keeps
//                                libtsan out: the compiler calls a hook at each access, and memory.cpp answers.
#pragma once
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <type_traits>
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
struct float3 { float x, y, z; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) double2 { double x, y; };
struct alignas(8) int2 { int x, y; };
struct int3 { int x, y, z; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct uint3 { unsigned x, y, z; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(4) ushort2 { unsigned short x, y; };
struct alignas(8) ushort4 { unsigned short x, y, z, w; };
struct alignas(4) uchar4 { unsigned char x, y, z, w; };
struct alignas(16) longlong2 { long long x, y; };
struct alignas(16) ulonglong2 { unsigned long long x, y; };
struct dim3 { unsigned x = 1, y = 1, z = 1; };
static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline float3 make_float3(float x, float y, float z) { return {x, y, z}; }
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static inline double2 make_double2(double x, double y) { return {x, y}; }
static inline int2 make_int2(int x, int y) { return {x, y}; }
static inline int3 make_int3(int x, int y, int z) { return {x, y, z}; }
static inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
static inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
static inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
static inline ushort2 make_ushort2(unsigned short x, unsigned short y) { return {x, y}; }
static inline ushort4 make_ushort4(unsigned short x, unsigned short y, unsigned short z, unsigned short w) { return {x, y, z, w}; }
static inline uchar4 make_uchar4(unsigned char x, unsigned char y, unsigned char z, unsigned char w) { return {x, y, z, w}; }
static inline longlong2 make_longlong2(long long x, long long y) { return {x, y}; }
static inline ulonglong2 make_ulonglong2(unsigned long long x, unsigned long long y) { return {x, y}; }

namespace simt {
// ---- what a thread knows of its position
struct Thread { uint3 index; unsigned lane; };
struct Grid { uint3 block; dim3 block_dim, grid_dim; };
extern Thread* self;      // the thread that runs
extern Grid grid;

// ---- shared memory: one arena a block, gaps between variables, NaN at block start
void* shared_slot(const void* tag, size_t bytes, size_t align);
void* dynamic_shared();

// ---- barriers and operations of a warp
enum BarrierOp { Plain, And, Or, Count };
int barrier(BarrierOp op, int predicate, int line);
void warp_barrier(unsigned mask, int line);

// All lanes of `mask` arrive with an input; the last one computes every lane's output.
enum class Op { Shuffle, Vote, Ldmatrix, Mma };
using Body = void (*)(unsigned mask, void* const* in, void* const* out, const void* arg);
void warp_op(Op op, unsigned mask, void* in, void* out, Body body, const void* arg, int line);

// ---- asynchronous copies happen when they are waited for, so that a missing wait reads NaN
void async_copy16(void* shared, const void* global, bool valid, int line);
void async_commit();
void async_wait(int pending);

void mark_atomic(void* p, size_t bytes, int line);   // tells the race check atomics from plain accesses
void fence(bool whole_device);
[[noreturn]] void trap(int line);

// ---- kernels, by name
struct KernelInfo {
    const char* name;
    int params;
    const uint16_t *sizes, *aligns;
    void (*call)(void** args);
};
void register_kernel(const KernelInfo& k);

template <class... Args> struct __attribute__((visibility("hidden"))) Signature {
    static constexpr uint16_t sizes[] = {sizeof(Args)..., 0}, aligns[] = {alignof(Args)..., 0};
    template <void (*Func)(Args...)> static void call(void** args) { go<Func>(args, std::index_sequence_for<Args...>{}); }
    template <void (*Func)(Args...), size_t... Index> static void go(void** args, std::index_sequence<Index...>) {
        Func(*static_cast<Args*>(args[Index])...);
    }
};
template <auto Func> struct Register;
template <class... Args, void (*Func)(Args...)> struct __attribute__((visibility("hidden"))) Register<Func> {
    explicit Register(const char* name) {
        register_kernel(
            {name, (int)sizeof...(Args), Signature<Args...>::sizes, Signature<Args...>::aligns, &Signature<Args...>::template call<Func>});
    }
};
}  // namespace simt

#define QS_STRING_(x) #x
#define QS_STRING(x) QS_STRING_(x)
#define QS_KERNEL(name) static simt::Register<&QS_NAME(name)> qs_register_##name(QS_STRING(QS_NAME(name)));
#define QS_SHARED(type, name, count)                                                     \
    static char qs_tag_##name;                                                           \
    type(&name)[count] = *static_cast<type(*)[count]>(simt::shared_slot(&qs_tag_##name, sizeof(type[count]), 16))
#define QS_DYN_SHARED(type, name) type* name = static_cast<type*>(simt::dynamic_shared())

#define threadIdx (simt::self->index)
#define blockIdx (simt::grid.block)
#define blockDim (simt::grid.block_dim)
#define gridDim (simt::grid.grid_dim)
enum { warpSize = 32 };
#define QS_LINE int line = __builtin_LINE()

static inline void __syncthreads(QS_LINE) { simt::barrier(simt::Plain, 0, line); }
static inline int __syncthreads_or(int p, QS_LINE) { return simt::barrier(simt::Or, p, line); }
static inline int __syncthreads_and(int p, QS_LINE) { return simt::barrier(simt::And, p, line); }
static inline int __syncthreads_count(int p, QS_LINE) { return simt::barrier(simt::Count, p, line); }
static inline void __syncwarp(unsigned mask = 0xffffffffu, QS_LINE) { simt::warp_barrier(mask, line); }
static inline void __threadfence() { simt::fence(true); }
static inline void __threadfence_block() { simt::fence(false); }
static inline void __trap(QS_LINE) { simt::trap(line); }
static inline unsigned __activemask() = delete;   // depends on the schedule: not allowed in a kernel

#include "simt_intrinsics.h"
