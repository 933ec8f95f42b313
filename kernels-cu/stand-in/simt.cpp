// simt.cpp - runtime of the CPU stand-in. One OS thread runs a grid block by block; each CUDA thread is a fiber with
// its own stack; fibers switch only at barriers and warp-wide operations. Never compile this file with -fsanitize=thread.
#include "simt.h"
#include "simt_host.h"
#include <algorithm>
#include <csetjmp>
#include <csignal>
#include <dlfcn.h>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <sys/mman.h>
#include <vector>

namespace simt {
Thread* self;
Grid grid;
Options options;
char report[2048];

// =============================================================================================== kernels by name
bool use_checked, load_checked;
static std::map<std::string, KernelInfo>& kernels(bool checked) { static std::map<std::string, KernelInfo> m[2]; return m[checked]; }
void register_kernel(const KernelInfo& k) { kernels(load_checked)[k.name] = k; }
const KernelInfo* find_kernel(const char* name) { auto& m = kernels(use_checked); auto i = m.find(name); return i == m.end() ? nullptr : &i->second; }

// =============================================================================================== fibers
enum State : uint8_t { Ready, AtBarrier, AtWarpOp, AtWarpBarrier, Done };
struct Pending { void* shared; const void* global; bool valid; int line; };
struct Fiber : Thread {
    void* sp = nullptr;
    State state = Ready;
    uint8_t warp = 0;
    int id = 0, line = 0;
    // warp-wide operation this lane waits in
    Op op; unsigned mask; void *in, *out;
    // clocks for the race check: barriers passed by the block, warp barriers passed by this lane
    unsigned warp_clock = 0;
    std::vector<Pending> async; std::vector<size_t> groups; size_t open = 0;
};
static std::vector<Fiber> fibers;
struct Warp { unsigned waiting = 0, left = 0; };              // lanes in a warp operation; lanes that left the kernel
static Warp warps[32];
static int n_threads, live, arrived, barrier_line, barrier_sum;
static BarrierOp barrier_op_;
static int barrier_result;
static unsigned block_clock, launch_serial, block_serial;
static unsigned rng;
static const KernelInfo* kernel;
static void** kernel_args;
static Fault fault_;
static sigjmp_buf main_context;
static char* stacks;
static size_t stack_count;
constexpr size_t StackBytes = 64 << 10;                       // the last page of each stack is a guard page
static thread_local bool in_kernel;

static void* fault_pc;                                        // code address of the access at hand, for addr2line
static Fiber& me() { return *static_cast<Fiber*>(self); }

[[noreturn]] static void fail(Fault f, int line, const char* fmt, ...) {
    char text[1024];
    va_list ap; va_start(ap, fmt); vsnprintf(text, sizeof text, fmt, ap); va_end(ap);
    int n = snprintf(report, sizeof report, "%s: %s", kernel ? kernel->name : "?", text);
    if (line && n < (int)sizeof report) n += snprintf(report + n, sizeof report - n, ", line %d", line);
    if (self && n < (int)sizeof report)
        snprintf(report + n, sizeof report - n, "; block (%u,%u,%u) thread (%u,%u,%u)", grid.block.x, grid.block.y, grid.block.z,
                 self->index.x, self->index.y, self->index.z);
    Dl_info where;
    if (fault_pc && n < (int)sizeof report && dladdr(fault_pc, &where)) {
        n = (int)strlen(report);
        snprintf(report + n, sizeof report - n, "; code %s+0x%zx", where.dli_fname, (size_t)((char*)fault_pc - 1 - (char*)where.dli_fbase));
    }
    fault_pc = nullptr;
    fault_ = f;
    siglongjmp(main_context, 1);                              // fibers are abandoned; their stacks are reused
}

#if defined(__x86_64__)
extern "C" void simt_switch(void** save, void* to);
asm(R"(
.text
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
    void** sp = reinterpret_cast<void**>(top) - 1;            // after `ret`, rsp is 8 mod 16 as at any function entry
    *--sp = reinterpret_cast<void*>(&fiber_entry);
    for (int i = 0; i < 6; i++) *--sp = nullptr;
    return sp;
}
#else
#error "port simt_switch (about 15 lines) or use ucontext here"
#endif

static void* main_sp;
static void switch_to(Fiber& f) {
    void** save = &me().sp;
    self = &f;
    simt_switch(save, f.sp);
}
static void describe_deadlock() {
    static const char* what[] = {"ready", "__syncthreads", "a warp operation", "__syncwarp", "done"};
    std::map<std::pair<int, int>, int> seen;
    for (int i = 0; i < n_threads; i++) seen[{fibers[i].state, fibers[i].line}]++;
    std::string s = "deadlock:";
    for (auto& [k, n] : seen) s += " " + std::to_string(n) + " threads in " + what[k.first] + (k.first == Done ? "" : " (line " + std::to_string(k.second) + ")") + ",";
    s.pop_back();
    fail(Fault::Sync, 0, "%s", s.c_str());
}
static void schedule() {                                      // give up the CPU until this fiber is ready again
    int from = me().id;
    if (options.seed) { rng ^= rng << 13; rng ^= rng >> 17; rng ^= rng << 5; from = (int)(rng % n_threads); }
    if (!options.seed)                                        // stay in the warp while one of its lanes can run: cache locality
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
    if (live == 0) { void* dummy; simt_switch(&dummy, main_sp); }
    describe_deadlock();
}
static void release_barrier() {
    barrier_result = barrier_op_ == And ? barrier_sum == arrived : barrier_op_ == Or ? barrier_sum > 0 : barrier_sum;
    arrived = barrier_sum = 0;
    block_clock++;
    for (int i = 0; i < n_threads; i++) if (fibers[i].state == AtBarrier) fibers[i].state = Ready;
}
static void fiber_entry() {
    kernel->call(kernel_args);
    Fiber& f = me();
    if (f.async.size() > f.open || f.groups.size()) { /* unwaited copies at exit are legal */ f.async.clear(); f.groups.clear(); }
    f.state = Done;
    warps[f.id / 32].left |= 1u << f.lane;
    live--;
    if (arrived && arrived == live)
        fail(Fault::Sync, barrier_line, "a thread left the kernel while %d others wait in __syncthreads", arrived);
    schedule();
    __builtin_unreachable();
}

int barrier(BarrierOp op, int predicate, int line) {
    Fiber& f = me();
    if (arrived == 0) { barrier_line = line; barrier_op_ = op; }
    else if (barrier_line != line) fail(Fault::Sync, line, "threads of one block meet in different __syncthreads (lines %d and %d)", barrier_line, line);
    if (live != n_threads) fail(Fault::Sync, line, "__syncthreads after %d threads have left the kernel", n_threads - live);
    f.line = line;
    barrier_sum += predicate != 0;
    f.state = AtBarrier;
    if (++arrived == live) release_barrier();
    if (f.state != Ready || options.seed) schedule();
    return barrier_result;
}

// A warp operation starts when every lane of the mask waits in it with the same mask. True for the lane that completes it.
static bool warp_arrive(Fiber& f, State state, unsigned mask, int line) {
    Warp& w = warps[f.id / 32];
    f.mask = mask; f.line = line; f.state = state;
    w.waiting |= 1u << f.lane;
    int lanes = n_threads - (f.id & ~31);
    if (!(mask >> f.lane & 1)) fail(Fault::Sync, line, "the calling lane is not in its own mask %08x", mask);
    if (lanes < 32 && mask >> lanes) fail(Fault::Sync, line, "mask %08x names lanes that the block does not have (its last warp has %d)", mask, lanes);
    if (mask & w.left) fail(Fault::Sync, line, "mask %08x names lanes that have left the kernel (%08x)", mask, w.left);
    if (~w.waiting & mask) return false;
    for (int i = 0; i < 32; i++) {
        if (!(mask >> i & 1)) continue;
        Fiber& g = fibers[(f.id & ~31) + i];
        if (g.mask != mask || g.state != state || (state == AtWarpOp && g.op != f.op))
            fail(Fault::Sync, line, "lanes %u and %d meet in different warp operations or masks (%08x, %08x; lines %d and %d)", f.lane, i, mask, g.mask, line, g.line);
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

// =============================================================================================== memory and its shadow
// One arena for device memory, one for the shared memory of the block at hand; a cell for each two bytes.
struct Cell {
    unsigned launch, writer, wblock, wwarp;                   // who wrote last: launch, thread (+1, whole grid), clocks
    unsigned rlaunch, reader, rblock, rwarp, reader2;         // one reader, and another one if there was any
    uint8_t init, atomic, live;
};
struct Space { char* base; size_t size; Cell* cells; const char* name; };
static Space global_space{nullptr, (size_t)64 << 30, nullptr, "global"}, shared_space{nullptr, 512 << 10, nullptr, "shared"};
struct Allocation { char* p; size_t n; };
static std::map<char*, size_t> allocations;
static size_t next_free, in_use;
static bool checking;                                         // set when the kernels were compiled with the hooks

static void* map(size_t n, int prot) {
    void* p = mmap(nullptr, n, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) { perror("simt: mmap"); abort(); }
    return p;
}
static void setup() {
    if (global_space.base) return;
    for (Space* s : {&global_space, &shared_space}) {
        s->base = static_cast<char*>(map(s->size, s == &global_space ? PROT_NONE : PROT_READ | PROT_WRITE));
        s->cells = static_cast<Cell*>(map(s->size / 2 * sizeof(Cell), PROT_READ | PROT_WRITE));
    }
}
static Cell& cell(Space& s, const char* p) { return s.cells[(p - s.base) / 2]; }
static Space* space_of(const void* p) {
    for (Space* s : {&global_space, &shared_space})
        if (static_cast<const char*>(p) >= s->base && static_cast<const char*>(p) < s->base + s->size) return s;
    return nullptr;
}
void* device_alloc(size_t n) {
    setup();
    constexpr size_t Red = 256;
    size_t take = (n + 255) / 256 * 256 + Red;
    if (next_free + Red + take > global_space.size) return nullptr;   // never reused: a stale pointer stays an error
    char* p = global_space.base + (next_free += next_free ? 0 : Red);
    next_free += take;
    allocations[p] = n;
    in_use += n;
    if (checking) for (size_t i = 0; i < n; i += 2) { Cell& c = cell(global_space, p + i); c = Cell{}; c.live = 1; }
    return p;
}
bool device_free(void* p) {
    auto i = allocations.find(static_cast<char*>(p));
    if (i == allocations.end()) return false;
    if (checking) for (size_t k = 0; k < i->second; k += 2) cell(global_space, i->first + k) = Cell{};
    in_use -= i->second;
    if (i->second >= 1 << 16) madvise((void*)(((uintptr_t)i->first + 4095) & ~(uintptr_t)4095), i->second - 4096 & ~(size_t)4095, MADV_DONTNEED);
    allocations.erase(i);
    return true;
}
size_t device_range(const void* p) {
    auto i = allocations.upper_bound(static_cast<char*>(const_cast<void*>(p)));
    if (i == allocations.begin()) return 0;
    --i;
    size_t off = static_cast<const char*>(p) - i->first;
    return off < i->second ? i->second - off : 0;
}
void device_written(void* p, size_t n) {
    if (checking) for (size_t i = 0; i < n; i += 2) cell(global_space, static_cast<char*>(p) + i).init = 1;
}
size_t device_in_use() { return in_use; }
void device_lock(bool) { static bool open; if (!open) { setup(); mprotect(global_space.base, global_space.size, PROT_READ | PROT_WRITE); open = true; } }

static std::map<const void*, char*> slots;
static size_t shared_used, dynamic_bytes;
static char* dynamic_base;
static char* carve(size_t bytes, size_t align) {
    shared_used = (shared_used + align - 1) / align * align;
    char* p = shared_space.base + shared_used;
    shared_used += bytes + 64;                                // red zone
    memset(p, 0xff, bytes);                                   // NaN in fp32 and in bf16
    if (checking) for (size_t i = 0; i < bytes; i += 2) { Cell& c = cell(shared_space, p + i); c = Cell{}; c.live = 1; }
    return p;
}
static void new_block_shared(size_t dynamic) {
    if (checking) for (size_t i = 0; i < shared_used; i += 2) cell(shared_space, shared_space.base + i) = Cell{};
    shared_used = 128;
    slots.clear();
    dynamic_base = carve(dynamic_bytes = dynamic, 128);
}
void* shared_slot(const void* tag, size_t bytes, size_t align) {
    char*& p = slots[tag];
    if (!p) p = carve(bytes, align);
    return p;
}
void* dynamic_shared() { return dynamic_base; }

enum Access { Read, Write, Atomic };
static unsigned thread_key() { return block_serial * 1024 + me().id + 1; }
// Is an earlier access by thread `key` (clocks b, w) ordered before what the running thread does now?
static bool ordered(unsigned key, unsigned b, unsigned w) {
    if (key == 0 || key == thread_key()) return true;
    unsigned other = key - 1;
    if (other / 1024 != block_serial) return false;           // another block of this launch: nothing orders them
    if (b != block_clock) return true;                        // a block barrier lies between
    return (other % 1024) / 32 == (unsigned)me().id / 32 && w < me().warp_clock;
}
static void check(const void* p, size_t n, Access kind, int line, void* pc, bool aligned = true) {
    if (!in_kernel) return;
    fault_pc = pc;
    const char* a = static_cast<const char*>(p);
    Space* s = space_of(a);
    const char* verb = kind == Read ? "read" : kind == Write ? "write" : "atomic";
    if (!s) {                                                 // a fiber stack or a constant; anything else is a host pointer
        if (a < (char*)4096) fail(Fault::IllegalAddress, line, "%s of %zu bytes at %p", verb, n, p);
        return;
    }
    if (aligned && n <= 16 && (n & (n - 1)) == 0 && (uintptr_t)a % n) fail(Fault::Misaligned, line, "misaligned %s of %zu bytes in %s memory (address %% %zu = %zu)", verb, n, s->name, n, (size_t)((uintptr_t)a % n));
    for (size_t i = 0; i < n; i += 2) {
        Cell& c = cell(*s, a + i);
        if (!c.live) {
            long after = -1;
            if (s == &global_space) { auto it = allocations.upper_bound(const_cast<char*>(a)); if (it != allocations.begin()) { --it; after = (a + i) - (it->first + it->second); } }
            fail(Fault::IllegalAddress, line, "out-of-bounds %s of %zu bytes in %s memory, %ld bytes past the end of the nearest allocation below", verb, n, s->name, after);
        }
        bool fresh_w = c.launch != launch_serial, fresh_r = c.rlaunch != launch_serial;
        if (options.uninit && kind != Write && !c.init) fail(Fault::Uninitialised, line, "%s of %zu bytes of %s memory that nothing wrote", verb, n, s->name);
        if (options.races && n > 1) {
            if (!fresh_w && !ordered(c.writer, c.wblock, c.wwarp) && !(kind == Atomic && c.atomic))
                fail(Fault::Race, line, "race on %s memory: this %s follows a%s write by thread %u of block %u with no barrier between", s->name, verb, c.atomic ? "n atomic" : "", (c.writer - 1) % 1024, (c.writer - 1) / 1024);
            if (kind == Write && !fresh_r)
                for (unsigned r : {c.reader, c.reader2})
                    if (!ordered(r, c.rblock, c.rwarp)) fail(Fault::Race, line, "race on %s memory: this write follows a read by thread %u of block %u with no barrier between", s->name, (r - 1) % 1024, (r - 1) / 1024);
        }
        if (kind == Read) {
            if (fresh_r || c.rblock != block_clock || (c.reader - 1) / 1024 != block_serial) { c.reader2 = 0; c.reader = thread_key(); }
            else if (c.reader != thread_key()) c.reader2 = thread_key();
            c.rlaunch = launch_serial; c.rblock = block_clock; c.rwarp = me().warp_clock;
        } else {
            c.launch = launch_serial; c.writer = thread_key(); c.wblock = block_clock; c.wwarp = me().warp_clock;
            c.atomic = kind == Atomic; c.init = 1;
        }
    }
}
void mark_atomic(const void* p, size_t n, int line) { if (checking) check(p, n, Atomic, line, nullptr); }

// =============================================================================================== asynchronous copies
void async_copy16(void* shared, const void* global, bool valid, int line) {
    if (((uintptr_t)shared | (valid ? (uintptr_t)global : 0)) % 16) fail(Fault::Misaligned, line, "cp.async of 16 bytes needs 16-byte alignment");
    if (checking && valid) check(global, 16, Read, line, nullptr);
    memset(shared, 0xff, 16);
    me().async.push_back({shared, global, valid, line});
    me().open++;
}
void async_commit() { Fiber& f = me(); f.groups.push_back(f.open); f.open = 0; }
void async_wait(int pending) {
    Fiber& f = me();
    while ((int)f.groups.size() > pending) {
        size_t n = f.groups.front();
        f.groups.erase(f.groups.begin());
        for (size_t i = 0; i < n; i++) {
            Pending& c = f.async[i];
            if (checking) check(c.shared, 16, Write, c.line, nullptr);
            if (c.valid) memcpy(c.shared, c.global, 16); else memset(c.shared, 0, 16);
        }
        f.async.erase(f.async.begin(), f.async.begin() + n);
    }
}

// =============================================================================================== matrix instructions
void ldmatrix(unsigned* r, const void* row, bool trans, int line) {
    if ((uintptr_t)row % 16) fail(Fault::Misaligned, line, "ldmatrix needs 16-byte aligned rows");
    if (checking) check(row, 16, Read, line, nullptr);
    warp_op(Op::Ldmatrix, 0xffffffffu, const_cast<void*>(row), r, [](unsigned, void* const* in, void* const* out, const void* arg) {
        bool t = *static_cast<const bool*>(arg);
        for (int tile = 0; tile < 4; tile++)
            for (int lane = 0; lane < 32; lane++) {
                auto half = [&](int rr, int cc) { return (unsigned)static_cast<const unsigned short*>(in[tile * 8 + rr])[cc]; };
                int a = lane / 4, b = lane % 4 * 2;
                static_cast<unsigned*>(out[lane])[tile] = t ? half(b, a) | half(b + 1, a) << 16 : half(a, b) | half(a, b + 1) << 16;
            }
    }, &trans, line);
}
struct MmaIn { float* c; const unsigned* a; unsigned b0, b1; };
void mma16816(float* c, const unsigned* a, unsigned b0, unsigned b1, int line) {
    MmaIn in{c, a, b0, b1};
    warp_op(Op::Mma, 0xffffffffu, &in, nullptr, [](unsigned, void* const* in, void* const*, const void*) {
        float A[16][16], B[16][8], C[16][8];
        auto lo = [](unsigned x) { return __uint_as_float(x << 16); };
        auto hi = [](unsigned x) { return __uint_as_float(x & 0xffff0000u); };
        for (int l = 0; l < 32; l++) {
            auto* m = static_cast<MmaIn*>(in[l]);
            int g = l / 4, t = l % 4 * 2;
            for (int q = 0; q < 4; q++) { int rr = g + (q & 1) * 8, cc = t + (q >> 1) * 8; A[rr][cc] = lo(m->a[q]); A[rr][cc + 1] = hi(m->a[q]); }
            B[t][g] = lo(m->b0); B[t + 1][g] = hi(m->b0); B[t + 8][g] = lo(m->b1); B[t + 9][g] = hi(m->b1);
            C[g][t] = m->c[0]; C[g][t + 1] = m->c[1]; C[g + 8][t] = m->c[2]; C[g + 8][t + 1] = m->c[3];
        }
        for (int i = 0; i < 16; i++)
            for (int k = 0; k < 16; k++)
                for (int j = 0; j < 8; j++) C[i][j] += A[i][k] * B[k][j];
        for (int l = 0; l < 32; l++) {
            auto* m = static_cast<MmaIn*>(in[l]);
            int g = l / 4, t = l % 4 * 2;
            m->c[0] = C[g][t]; m->c[1] = C[g][t + 1]; m->c[2] = C[g + 8][t]; m->c[3] = C[g + 8][t + 1];
        }
    }, nullptr, line);
}

// =============================================================================================== launch
static struct sigaction old_segv;
static void on_segv(int sig, siginfo_t* info, void* ctx) {
    if (in_kernel) { in_kernel = false; fail(Fault::IllegalAddress, 0, "fault at address %p (host memory, a guard page or a stack overflow)", info->si_addr); }
    if (old_segv.sa_flags & SA_SIGINFO) old_segv.sa_sigaction(sig, info, ctx);      // not ours: the .NET runtime's
    else if (old_segv.sa_handler == SIG_DFL) { signal(sig, SIG_DFL); raise(sig); }
    else old_segv.sa_handler(sig);
}

static void run_block() {
    for (int i = 0; i < n_threads; i++) {
        Fiber& f = fibers[i];
        f.sp = new_stack(stacks + (i + 1) * StackBytes - (size_t)i * 1088 % 16384);   // spread over cache sets
        f.state = Ready; f.warp_clock = 0; f.async.clear(); f.groups.clear(); f.open = 0;
    }
    for (Warp& w : warps) w = Warp{};
    live = n_threads; arrived = barrier_sum = 0; block_clock = 1;
    int first = 0;
    if (options.seed) { rng = options.seed * 2654435761u ^ (block_serial + 1) * 40503u; rng |= 1; first = (int)(rng % n_threads); }
    self = &fibers[first];
    simt_switch(&main_sp, fibers[first].sp);
}

Fault launch(const KernelInfo& k, const unsigned g[3], const unsigned b[3], size_t shared_bytes, void** args) {
    setup();
    kernel = &k; kernel_args = args; fault_ = Fault::None; report[0] = 0; self = nullptr;
    n_threads = (int)(b[0] * b[1] * b[2]);
    if (n_threads < 1 || n_threads > 1024 || !g[0] || !g[1] || !g[2] || g[1] > 65535 || g[2] > 65535 || shared_bytes > options.shared_limit) {
        snprintf(report, sizeof report, "%s: bad launch: grid (%u,%u,%u) block (%u,%u,%u) shared %zu", k.name, g[0], g[1], g[2], b[0], b[1], b[2], shared_bytes);
        return Fault::Config;
    }
    if (stack_count < (size_t)n_threads) {
        if (stacks) munmap(stacks, stack_count * StackBytes);
        stacks = static_cast<char*>(map(n_threads * StackBytes, PROT_READ | PROT_WRITE));
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
    struct sigaction sa{};
    sa.sa_sigaction = on_segv; sa.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigaction(SIGSEGV, &sa, &old_segv);
    device_lock(false);
    if (sigsetjmp(main_context, 1) == 0) {
        in_kernel = true;
        block_serial = 0;
        for (unsigned z = 0; z < g[2]; z++)
            for (unsigned y = 0; y < g[1]; y++)
                for (unsigned x = 0; x < g[0]; x++, block_serial++) {
                    grid.block = {x, y, z};
                    new_block_shared(shared_bytes);
                    run_block();
                }
    }
    in_kernel = false;
    device_lock(true);
    sigaction(SIGSEGV, &old_segv, nullptr);
    return fault_;
}
void enable_checks() { checking = true; }
}  // namespace simt

// =============================================================================================== compiler hooks
// g++ and clang++ call these from code compiled with -fsanitize=thread. Nothing here needs libtsan.
namespace simt { void enable_checks(); }
using simt::Read; using simt::Write;
// -fsanitize=alignment: a vector access through a pointer that is not aligned for its type. The compiler passes the source line.
struct AlignmentSite { const char* file; unsigned line, column; const void* type; unsigned char log2_align, kind; };
extern "C" void __ubsan_handle_type_mismatch_v1(AlignmentSite* s, uintptr_t p) {
    if (simt::in_kernel) simt::fail(simt::Fault::Misaligned, (int)s->line, "access to %p, which needs alignment %u", (void*)p, 1u << s->log2_align);
}
extern "C" void __ubsan_handle_type_mismatch_v1_abort(AlignmentSite* s, uintptr_t p) { __ubsan_handle_type_mismatch_v1(s, p); }
#define PC __builtin_return_address(0)
extern "C" {
void __tsan_init() { simt::enable_checks(); }
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
#define HOOK(n)                                                                                   \
    void __tsan_read##n(void* p) { simt::check(p, n, Read, 0, PC); }                               \
    void __tsan_write##n(void* p) { simt::check(p, n, Write, 0, PC); }                             \
    void __tsan_unaligned_read##n(void* p) { simt::check(p, n, Read, 0, PC, false); }                    \
    void __tsan_unaligned_write##n(void* p) { simt::check(p, n, Write, 0, PC, false); }
HOOK(1) HOOK(2) HOOK(4) HOOK(8) HOOK(16)
void __tsan_read_range(void* p, size_t n) { simt::check(p, n, Read, 0, PC, false); }
void __tsan_write_range(void* p, size_t n) { simt::check(p, n, Write, 0, PC, false); }
void* __tsan_memcpy(void* d, const void* s, size_t n) { simt::check(s, n, Read, 0, PC); simt::check(d, n, Write, 0, PC); return memcpy(d, s, n); }
void* __tsan_memset(void* d, int v, size_t n) { simt::check(d, n, Write, 0, PC); return memset(d, v, n); }
void* __tsan_memmove(void* d, const void* s, size_t n) { return memmove(d, s, n); }
}
