// simt_internal.h - what simt.cpp, memory.cpp and operations.cpp share.
#pragma once
#include "simt.h"
#include "simt_host.h"
#include <vector>

namespace simt {
enum State : uint8_t { Ready, AtBarrier, AtWarpOp, AtWarpBarrier, Done };
struct Copy { void* shared; const void* global; bool valid; int line; };
struct Fiber : Thread {
    void* sp = nullptr;
    State state = Ready;
    int id = 0, line = 0;
    Op op; unsigned mask; void *in, *out;                  // the warp operation that this lane waits in
    unsigned warp_clock = 0;                               // warp barriers that it passed
    unsigned fence_clock = 0;                              // block clock + 1 of its last __threadfence; 0: none
    std::vector<Copy> copies; std::vector<size_t> groups; size_t open = 0;
};
inline Fiber& me() { return *static_cast<Fiber*>(self); }

extern bool in_kernel, checking;                           // checking: the kernel that runs is a checked build
extern unsigned block_clock, launch_serial, block_serial;  // barriers of the block + 1; launches; the block's number in its launch
extern void* fault_code;                                   // code address of the access at hand, for addr2line

[[noreturn]] void fail(Fault f, int line, const char* format, ...) __attribute__((format(printf, 3, 4)));

enum Access { Read, Write, Atomic };
void check(const void* p, size_t n, Access kind, int line, void* code, bool aligned = true);
bool is_shared(const void* p);
void shared_in_flight(void* p, size_t n);                  // an asynchronous copy into it was begun: not readable
void new_block_shared(size_t dynamic_bytes);
void new_launch_checks();
void new_block_checks();
}  // namespace simt
