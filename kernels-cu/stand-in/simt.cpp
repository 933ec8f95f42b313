// simt.cpp - the stand-in's threads. One OS thread runs a grid block by block; each CUDA thread is a fiber with its own stack;
// fibers switch only at barriers and at operations of a warp. Never compiled with -fsanitize=thread.
#include "simt_internal.h"
#include <algorithm>
#include <csetjmp>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <map>
#include <string>
#include <sys/mman.h>

namespace simt {
Thread* self;
Grid grid;
Options options;
char report[2048];
bool in_kernel, checking;
unsigned block_clock, launch_serial, block_serial;
void* fault_code;

// =============================================================================================== kernels by name
static std::map<std::string, KernelEntry>& kernels() { static std::map<std::string, KernelEntry> all; return all; }
static std::vector<KernelInfo>* loading;                   // where the constructors of the library being loaded register
static std::map<std::string, std::vector<KernelInfo>> libraries;

void register_kernel(const KernelInfo& k) { if (loading) loading->push_back(k); }
KernelEntry* find_kernel(const std::string& name) { auto i = kernels().find(name); return i == kernels().end() ? nullptr : &i->second; }

bool load_library(const char* path, bool checked) {
    std::vector<KernelInfo>& held = libraries[path];       // a second load of the same file runs no constructor
    loading = &held;
    Dl_info here;                                          // .NET loads us as local; the kernels' symbols must find us
    if (dladdr((void*)&load_library, &here)) dlopen(here.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_GLOBAL);
    void* handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    loading = nullptr;
    if (!handle) { const char* why = dlerror(); say("%s", why ? why : path); return false; }
    if (held.empty()) { say("%s registers no kernel", path); return false; }
    for (KernelInfo& k : held) (checked ? kernels()[k.name].checked : kernels()[k.name].fast) = &k;
    return true;
}

// =============================================================================================== faults
static const KernelInfo* kernel;
static void** kernel_args;
static Fault fault_;
static sigjmp_buf main_context;

void say(const char* format, ...) {
    va_list ap; va_start(ap, format); vsnprintf(report, sizeof report, format, ap); va_end(ap);
}
void fail(Fault f, int line, const char* format, ...) {
    static const char* names[] = {"", "illegal address", "misaligned address", "synchronisation", "race", "unwritten memory", "trap"};
    char text[1024], place[160] = "", code[600] = "", at[32] = "";
    va_list ap; va_start(ap, format); vsnprintf(text, sizeof text, format, ap); va_end(ap);
    if (line) snprintf(at, sizeof at, ", line %d", line);
    if (self)
        snprintf(place, sizeof place, "; block (%u,%u,%u) thread (%u,%u,%u)", grid.block.x, grid.block.y, grid.block.z,
                 self->index.x, self->index.y, self->index.z);
    Dl_info where;
    if (fault_code && dladdr(fault_code, &where))
        snprintf(code, sizeof code, "; code %s+0x%zx", where.dli_fname, (size_t)((char*)fault_code - 1 - (char*)where.dli_fbase));
    say("%s: %s: %s%s%s%s", kernel ? kernel->name : "?", names[(int)f], text, at, place, code);
    fault_code = nullptr;
    fault_ = f;
    in_kernel = false;
    siglongjmp(main_context, 1);                           // fibers are abandoned; their stacks are used again
}
void trap(int line) { fail(Fault::Trap, line, "__trap"); }

// =============================================================================================== fibers
static std::vector<Fiber> fibers;
struct Warp { unsigned waiting = 0, left = 0; };           // lanes in an operation of the warp; lanes that left the kernel
static Warp warps[32];
static int n_threads, live, arrived, barrier_line, barrier_sum, barrier_result;
static BarrierOp barrier_op;
static unsigned rng;
static char* stacks;
static size_t stack_count;
constexpr size_t StackBytes = 64 << 10;                    // the first page of each is closed
static void* main_sp;

#if defined(__x86_64__)
extern "C" void simt_switch(void** save, void* to) __attribute__((visibility("hidden")));
asm(R"(
.text
.hidden simt_switch
.globl simt_switch
.type simt_switch,@function
simt_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");
static void fiber_entry();
static void* new_stack(char* top) {
    void** sp = reinterpret_cast<void**>(top) - 1;         // after `ret`, rsp is 8 mod 16 as at any function's entry
    *--sp = reinterpret_cast<void*>(&fiber_entry);
    for (int i = 0; i < 6; i++) *--sp = nullptr;
    return sp;
}
#elif defined(__aarch64__)
extern "C" void simt_switch(void** save, void* to) __attribute__((visibility("hidden")));
asm(R"(
.text
.hidden simt_switch
.globl simt_switch
.type simt_switch,%function
simt_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
)");
static void fiber_entry();
static void* new_stack(char* top) {
    void** sp = reinterpret_cast<void**>(top - 160);
    memset(sp, 0, 160);
    sp[11] = reinterpret_cast<void*>(&fiber_entry);        // x30
    return sp;
}
#else
#error "the stand-in switches stacks on x86-64 and ARM64 only"
#endif

static void switch_to(Fiber& f) {
    void** save = &me().sp;
    self = &f;
    simt_switch(save, f.sp);
}
static void report_deadlock() {
    static const char* what[] = {"ready", "__syncthreads", "an operation of a warp", "__syncwarp", "done"};
    std::map<std::pair<int, int>, int> seen;
    for (int i = 0; i < n_threads; i++) seen[{fibers[i].state, fibers[i].state == Done ? 0 : fibers[i].line}]++;
    std::string s = "deadlock:";
    for (auto& [k, n] : seen)
        s += " " + std::to_string(n) + " threads in " + what[k.first] + (k.second ? " (line " + std::to_string(k.second) + ")" : "") + ",";
    s.pop_back();
    char text[900];
    snprintf(text, sizeof text, "%s", s.c_str());
    s = {};                                                // fail() does not unwind
    seen.clear();
    fail(Fault::Sync, 0, "%s", text);
}
static void schedule() {                                   // until this fiber is ready again
    int from = me().id;
    if (options.seed) { rng ^= rng << 13; rng ^= rng >> 17; rng ^= rng << 5; from = (int)(rng % n_threads); }
    else                                                   // stay in the warp while one of its lanes can run: cache locality
        for (int base = from & ~31, k = 1; k < 32; k++) {
            int i = base + ((from + k) & 31);
            if (i < n_threads && fibers[i].state == Ready) { switch_to(fibers[i]); return; }
        }
    for (int k = 1; k <= n_threads; k++) {
        Fiber& f = fibers[(from + k) % n_threads];
        if (f.state != Ready) continue;
        if (&f == self) return;
        switch_to(f);
        return;
    }
    if (live == 0) { void* unused; simt_switch(&unused, main_sp); }
    report_deadlock();
}
static void release_barrier() {
    barrier_result = barrier_op == And ? barrier_sum == arrived : barrier_op == Or ? barrier_sum > 0 : barrier_sum;
    arrived = barrier_sum = 0;
    block_clock++;
    for (int i = 0; i < n_threads; i++) if (fibers[i].state == AtBarrier) fibers[i].state = Ready;
}
static void fiber_entry() {
    kernel->call(kernel_args);
    Fiber& f = me();
    f.state = Done;
    warps[f.id / 32].left |= 1u << f.lane;
    live--;
    unsigned waiting = warps[f.id / 32].waiting;
    for (int i = 0; i < 32; i++) {
        if (!(waiting >> i & 1)) continue;
        Fiber& g = fibers[(size_t)((f.id & ~31) + i)];
        if (g.mask >> f.lane & 1)
            fail(Fault::Sync, g.line, "lane %d waits with mask %08x for lane %u, which left the kernel", i, g.mask, f.lane);
    }
    if (arrived && arrived == live)
        fail(Fault::Sync, barrier_line, "a thread left the kernel while %d others wait in __syncthreads", arrived);
    schedule();
    __builtin_unreachable();
}

int barrier(BarrierOp op, int predicate, int line) {
    Fiber& f = me();
    if (arrived == 0) {
        barrier_line = line;
        barrier_op = op;
    } else if (barrier_line != line)
        fail(Fault::Sync, line, "threads of one block meet in different __syncthreads (lines %d and %d)", barrier_line, line);
    if (live != n_threads) fail(Fault::Sync, line, "__syncthreads after %d threads have left the kernel", n_threads - live);
    f.line = line;
    barrier_sum += predicate != 0;
    f.state = AtBarrier;
    if (++arrived == live) release_barrier();
    if (f.state != Ready || options.seed) schedule();
    return barrier_result;
}

// An operation of a warp starts when every lane of the mask waits in it with the same mask. True for the lane that completes it.
static bool warp_arrive(Fiber& f, State state, unsigned mask, int line) {
    Warp& w = warps[f.id / 32];
    f.mask = mask; f.line = line; f.state = state;
    w.waiting |= 1u << f.lane;
    int lanes = n_threads - (f.id & ~31);
    if (!(mask >> f.lane & 1)) fail(Fault::Sync, line, "the calling lane is not in its own mask %08x", mask);
    if (lanes < 32 && mask >> lanes)
        fail(Fault::Sync, line, "mask %08x names lanes that the block does not have (its last warp has %d)", mask, lanes);
    if (mask & w.left) fail(Fault::Sync, line, "mask %08x names lanes that have left the kernel (%08x)", mask, w.left);
    if (~w.waiting & mask) return false;
    for (int i = 0; i < 32; i++) {
        if (!(mask >> i & 1)) continue;
        Fiber& g = fibers[(f.id & ~31) + i];
        if (g.mask != mask || g.state != state || (state == AtWarpOp && g.op != f.op))
            fail(Fault::Sync, line, "lanes %u and %d meet in different operations of the warp or masks (%08x, %08x; lines %d and %d)",
                 f.lane, i, mask, g.mask, line, g.line);
        g.state = Ready;
    }
    w.waiting &= ~mask;
    return true;
}
void warp_op(Op op, unsigned mask, void* in, void* out, Body body, const void* arg, int line) {
    Fiber& f = me();
    f.op = op; f.in = in; f.out = out;
    if (warp_arrive(f, AtWarpOp, mask, line)) {
        void *ins[32], *outs[32];
        for (int i = 0; i < 32; i++) if (mask >> i & 1) { Fiber& g = fibers[(f.id & ~31) + i]; ins[i] = g.in; outs[i] = g.out; }
        body(mask, ins, outs, arg);
        if (!options.seed) return;
    }
    schedule();
}
void warp_barrier(unsigned mask, int line) {
    Fiber& f = me();
    if (warp_arrive(f, AtWarpBarrier, mask, line)) {
        unsigned clock = 0;
        for (int i = 0; i < 32; i++) if (mask >> i & 1) clock = std::max(clock, fibers[(f.id & ~31) + i].warp_clock);
        for (int i = 0; i < 32; i++) if (mask >> i & 1) fibers[(f.id & ~31) + i].warp_clock = clock + 1;
        if (!options.seed) return;
    }
    schedule();
}

// =============================================================================================== launch
static struct sigaction old_segv, old_bus;
static void on_fault(int sig, siginfo_t* info, void* context) {
    if (in_kernel)
        fail(Fault::IllegalAddress, 0, "access to %p, which is no memory of the card (or a thread's stack overflowed)", info->si_addr);
    struct sigaction& old = sig == SIGSEGV ? old_segv : old_bus;   // not ours: the .NET runtime's
    if (old.sa_flags & SA_SIGINFO) old.sa_sigaction(sig, info, context);
    else if (old.sa_handler == SIG_DFL || old.sa_handler == SIG_IGN) { signal(sig, SIG_DFL); raise(sig); }
    else old.sa_handler(sig);
}
static void give_signal_stack() {                          // a stack overflow can only be told on another stack
    static thread_local bool given;
    stack_t now;
    if (given || sigaltstack(nullptr, &now) != 0 || !(now.ss_flags & SS_DISABLE)) return;
    now = {};
    now.ss_size = 64 << 10;
    now.ss_sp = malloc(now.ss_size);
    given = sigaltstack(&now, nullptr) == 0;
}

static void run_block() {
    for (int i = 0; i < n_threads; i++) {
        Fiber& f = fibers[i];
        f.sp = new_stack(stacks + (i + 1) * StackBytes - (size_t)i * 1088 % 16384);   // spread over the cache's sets
        f.state = Ready; f.warp_clock = f.fence_clock = 0;
        f.copies.clear(); f.groups.clear(); f.open = 0;
    }
    for (Warp& w : warps) w = Warp{};
    live = n_threads; arrived = barrier_sum = 0; block_clock = 1;
    int first = 0;
    if (options.seed) { rng = (options.seed * 2654435761u ^ (block_serial + 1) * 40503u) | 1; first = (int)(rng % n_threads); }
    self = &fibers[first];
    simt_switch(&main_sp, fibers[first].sp);
}

Fault launch(const KernelInfo& k, const unsigned g[3], const unsigned b[3], size_t shared_bytes, void** args) {
    kernel = &k; kernel_args = args; fault_ = Fault::None; self = nullptr;
    checking = options.checked;
    n_threads = (int)(b[0] * b[1] * b[2]);
    if (stack_count < (size_t)n_threads) {
        if (stacks) munmap(stacks, stack_count * StackBytes);
        void* p = mmap(nullptr, n_threads * StackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED) { perror("the stand-in has no memory for its threads' stacks"); abort(); }
        stacks = static_cast<char*>(p);
        stack_count = n_threads;
        for (int i = 0; i < n_threads; i++) mprotect(stacks + i * StackBytes, 4096, PROT_NONE);
    }
    if ((int)fibers.size() < n_threads) fibers.resize(n_threads);
    launch_serial++;
    grid.grid_dim = {g[0], g[1], g[2]};
    grid.block_dim = {b[0], b[1], b[2]};
    for (int i = 0; i < n_threads; i++) {
        fibers[i].id = i; fibers[i].lane = i % 32;
        fibers[i].index = {i % b[0], i / b[0] % b[1], i / (b[0] * b[1])};
    }
    give_signal_stack();
    struct sigaction sa{};
    sa.sa_sigaction = on_fault; sa.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    Open open;
    if (checking) new_launch_checks();
    sigaction(SIGSEGV, &sa, &old_segv);
    sigaction(SIGBUS, &sa, &old_bus);
    if (sigsetjmp(main_context, 1) == 0) {
        in_kernel = true;
        block_serial = 0;
        for (unsigned z = 0; z < g[2]; z++)
            for (unsigned y = 0; y < g[1]; y++)
                for (unsigned x = 0; x < g[0]; x++, block_serial++) {
                    grid.block = {x, y, z};
                    new_block_shared(shared_bytes);
                    if (checking) new_block_checks();
                    run_block();
                }
    }
    in_kernel = false;
    self = nullptr;
    sigaction(SIGSEGV, &old_segv, nullptr);
    sigaction(SIGBUS, &old_bus, nullptr);
    return fault_;
}
}  // namespace simt
