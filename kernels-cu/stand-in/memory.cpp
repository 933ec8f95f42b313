// memory.cpp - the stand-in's device and shared memory, and the checker: compiled with -fsanitize=thread (without libtsan), a
// kernel calls a hook at each access, and the hooks here tell accesses out of bounds, misaligned, of memory that nothing
// wrote, and data races by happens-before. The order is that of block barriers, of __syncwarp, and of fence + atomic.
#include "simt_internal.h"
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <sys/mman.h>
#include <unordered_map>

namespace simt {
struct Cell {                                              // what the race check knows of two bytes, or of one where bytes are accessed
    unsigned launch, writer, wblock, wwarp;                // who wrote last: launch, thread (+1, in the whole grid), clocks
    unsigned rlaunch, reader, rblock, rwarp, reader2;      // one reader, and another one if there was any
    unsigned atomic;                                       // whether the write was an atomic
};
enum Written : uint8_t { No, Yes };                        // a byte for each two bytes of memory

// =============================================================================================== device memory
// Addresses are handed out once, from a reserved arena. An allocation has pages of its own and ends within 256 bytes of a
// closed page; freeing closes it. What shadows it comes with its first use by a checked kernel.
struct Allocation {
    char* p; size_t n;
    Written* written = nullptr; Cell* cells = nullptr;
    unsigned unit = 2;
    bool freed = false;
};
static char* arena;
static size_t arena_bytes = (size_t)256 << 30, next_free;
static std::vector<Allocation> allocations;                // by number; the first one is no allocation
static unsigned* owner;                                    // the allocation's number, for each page of the arena
static size_t live_allocations;
constexpr size_t Page = 4096;

static void* map(size_t n, int protection) {
    return mmap(nullptr, n, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}
template <class Type> static Type* shadow(size_t count) {
    void* p = map(count * sizeof(Type), PROT_READ | PROT_WRITE);
    if (p == MAP_FAILED) { perror("the stand-in has no memory for its checks"); abort(); }
    return static_cast<Type*>(p);
}
static char* page_of(char* p) { return (char*)((uintptr_t)p & ~(Page - 1)); }
static size_t pages_bytes(const Allocation& a) { return (size_t)(a.p - page_of(a.p)) + (a.n + 255) / 256 * 256; }

static bool setup() {
    if (arena) return true;
    void* p = MAP_FAILED;
    for (; arena_bytes >= (size_t)1 << 30; arena_bytes /= 2) if ((p = map(arena_bytes, PROT_NONE)) != MAP_FAILED) break;
    if (p == MAP_FAILED) return false;
    arena = static_cast<char*>(p);
    owner = shadow<unsigned>(arena_bytes / Page);
    allocations.emplace_back();
    return true;
}
static bool in_arena(const void* p) { return arena && (const char*)p >= arena && (const char*)p < arena + arena_bytes; }
static Allocation* owner_of(const void* p) {
    if (!in_arena(p)) return nullptr;
    unsigned i = owner[((const char*)p - arena) / Page];
    return i ? &allocations[i] : nullptr;
}
static Allocation* holding(const void* p) {
    Allocation* a = owner_of(p);
    return a && !a->freed && p >= a->p && p < a->p + a->n ? a : nullptr;
}

static int opened;
static void protect_all(int protection) {
    for (size_t i = 1; i < allocations.size(); i++)
        if (!allocations[i].freed) mprotect(page_of(allocations[i].p), pages_bytes(allocations[i]), protection);
}
Open::Open() { if (opened++ == 0 && options.checked) protect_all(PROT_READ | PROT_WRITE); }
Open::~Open() { if (--opened == 0 && options.checked) protect_all(PROT_NONE); }

void* device_alloc(size_t n) {
    if (!setup()) return nullptr;
    size_t rounded = (n + 255) / 256 * 256, take = (rounded + Page - 1) / Page * Page;
    if (next_free + take + 2 * Page > arena_bytes || rounded < n) return nullptr;
    char* first = arena + next_free + Page;                // after a closed page
    next_free += take + Page;
    Allocation a{first + take - rounded, n};
    unsigned number = (unsigned)allocations.size();
    for (size_t i = 0; i < take / Page; i++) owner[(first - arena) / Page + i] = number;
    if (mprotect(first, take, PROT_READ | PROT_WRITE) != 0) return nullptr;
    memset(first, 0xff, take);                             // NaN in fp32 and in bf16
    if (options.checked && !opened) mprotect(first, take, PROT_NONE);
    if (options.checked) a.written = shadow<Written>((n + 1) / 2);
    allocations.push_back(a);
    live_allocations++;
    return a.p;
}
static void drop_shadow(Allocation& a) {
    if (a.written) munmap(a.written, (a.n + 1) / 2 * sizeof(Written));
    if (a.cells) munmap(a.cells, (a.n + 1) / a.unit * sizeof(Cell));
    a.written = nullptr; a.cells = nullptr; a.unit = 2;
}
bool device_free(void* p) {
    Allocation* a = holding(p);
    if (!a || a->p != p) return false;
    drop_shadow(*a);
    mprotect(page_of(a->p), pages_bytes(*a), PROT_NONE);
    madvise(page_of(a->p), pages_bytes(*a), MADV_DONTNEED);
    a->freed = true;
    live_allocations--;
    return true;
}
void device_rewind() {
    if (live_allocations || !arena) return;
    madvise(owner, arena_bytes / Page * sizeof(unsigned), MADV_DONTNEED);
    allocations.resize(1);
    next_free = 0;
}
size_t device_size(const void* p) { Allocation* a = holding(p); return a && a->p == p ? a->n : 0; }
size_t device_range(const void* p) { Allocation* a = holding(p); return a ? (size_t)(a->p + a->n - (const char*)p) : 0; }

// A block of memory from before the checked mode counts as written.
static Written* written_of(Allocation& a) {
    if (!a.written) { a.written = shadow<Written>((a.n + 1) / 2); memset(a.written, Yes, (a.n + 1) / 2); }
    return a.written;
}
static Cell* cells_of(Allocation& a, bool by_bytes) {
    if (a.cells && (a.unit == 1 || !by_bytes)) return a.cells;
    Cell* halves = a.cells;
    a.unit = by_bytes ? 1 : 2;
    a.cells = shadow<Cell>((a.n + 1) / a.unit);
    if (halves) {
        for (size_t i = 0; i < a.n; i++) a.cells[i] = halves[i / 2];
        munmap(halves, (a.n + 1) / 2 * sizeof(Cell));
    }
    return a.cells;
}
void device_written(void* p, size_t n) {
    Allocation* a = options.checked && n ? holding(p) : nullptr;
    if (a) memset(written_of(*a) + ((char*)p - a->p) / 2, Yes, (n + ((char*)p - a->p) % 2 + 1) / 2);
}
const void* device_unwritten(const void* p, size_t n) {
    Allocation* a = options.checked && n ? holding(p) : nullptr;
    if (!a) return nullptr;
    size_t first = (size_t)((const char*)p - a->p) / 2, count = (n + 1) / 2;
    const void* hole = memchr(written_of(*a) + first, No, count);
    return hole ? a->p + 2 * ((const Written*)hole - a->written) : nullptr;
}
void device_copied(void* to, const void* from, size_t n) {
    Allocation *a = options.checked && n ? holding(to) : nullptr, *b = a ? holding(from) : nullptr;
    if (b) memmove(written_of(*a) + ((char*)to - a->p) / 2, written_of(*b) + ((const char*)from - b->p) / 2, (n + 1) / 2);
}
void set_checked(bool on) {
    if (on == options.checked) return;
    if (opened == 0) protect_all(on ? PROT_NONE : PROT_READ | PROT_WRITE);
    options.checked = on;
    if (!on) for (Allocation& a : allocations) drop_shadow(a);   // what runs unchecked is not recorded
}

// =============================================================================================== shared memory
constexpr size_t SharedBytes = 512 << 10;                  // more than any card has: gaps lie between variables
alignas(256) static char shared_arena[SharedBytes];
enum SharedState : uint8_t { Outside, Blank, Filled };
static SharedState shared_state[SharedBytes / 2];
static Cell* shared_cells;
static unsigned shared_unit;
static struct { const void* tag; char* p; } slots[256];
static int slot_count;
static size_t shared_used;
static char* dynamic_base;

bool is_shared(const void* p) { return (const char*)p >= shared_arena && (const char*)p < shared_arena + SharedBytes; }
static char* carve(size_t bytes, size_t align) {
    shared_used = (shared_used + align - 1) / align * align;
    if (shared_used + bytes + 64 > SharedBytes) fail(Fault::IllegalAddress, 0, "a block has more shared memory than any card");
    char* p = shared_arena + shared_used;
    shared_used += bytes + 64;
    memset(p, 0xff, bytes);
    if (checking) memset(shared_state + (p - shared_arena) / 2, Blank, (bytes + 1) / 2);
    return p;
}
void new_block_shared(size_t dynamic) {
    if (checking) memset(shared_state, Outside, sizeof shared_state);
    shared_used = 128;
    slot_count = 0;
    dynamic_base = carve(dynamic, 128);
}
void* shared_slot(const void* tag, size_t bytes, size_t align) {
    for (int i = 0; i < slot_count; i++) if (slots[i].tag == tag) return slots[i].p;
    if (slot_count == 256) fail(Fault::IllegalAddress, 0, "a kernel has more than 256 shared variables");
    slots[slot_count] = {tag, carve(bytes, align)};
    return slots[slot_count++].p;
}
void* dynamic_shared() { return dynamic_base; }
static void share_by_bytes() {
    if (shared_unit == 1) return;
    for (size_t i = shared_used; i-- > 0;) shared_cells[i] = shared_cells[i / 2];
    shared_unit = 1;
}
void shared_in_flight(void* p, size_t n) { memset(shared_state + ((char*)p - shared_arena) / 2, Blank, n / 2); }

// =============================================================================================== order
// A thread that fences and then does an atomic publishes what its block did before; a block whose thread does an atomic on the
// same address and then fences sees it: the "last block finishes" pattern. Barriers of the block carry both to its threads.
struct Publication { std::unordered_map<unsigned, unsigned> blocks; };   // block -> its clock when it published, + 1
static std::unordered_map<uintptr_t, Publication> published;
struct Seen { unsigned clock; unsigned since, by; };       // up to that clock of the other block; from when, by which thread
static std::unordered_map<unsigned, Seen> seen, observed;  // observed: by an atomic, not fenced yet

void new_launch_checks() {
    published.clear();
    shared_unit = 2;
    if (!shared_cells) shared_cells = shadow<Cell>(SharedBytes);
}
void new_block_checks() { seen.clear(); observed.clear(); }
void fence(bool whole_device) {
    if (!checking || !whole_device) return;
    me().fence_clock = block_clock;
    for (auto& [block, s] : observed) if (s.by == (unsigned)me().id) seen[block] = s;
}
static void publish(const void* p) {
    auto& blocks = published[(uintptr_t)p].blocks;
    for (auto& [block, clock] : blocks) if (block != block_serial) observed[block] = {clock, block_clock, (unsigned)me().id};
    if (me().fence_clock) blocks[block_serial] = me().fence_clock;
}

static unsigned thread_key() { return block_serial * 1024 + (unsigned)me().id + 1; }
// Is an earlier access by thread `key` (clocks b, w) ordered before what the running thread does now?
static bool ordered(unsigned key, unsigned b, unsigned w) {
    if (key == 0 || key == thread_key()) return true;
    unsigned other = key - 1;
    if (other / 1024 != block_serial) {
        if (seen.empty()) return false;
        auto s = seen.find(other / 1024);                  // barriers before the fence order what the other threads of that block did
        return s != seen.end() && b <= s->second.clock && (s->second.by == (unsigned)me().id || s->second.since < block_clock);
    }
    if (b != block_clock) return true;                     // a barrier of the block lies between
    return (other % 1024) / 32 == (unsigned)me().id / 32 && w < me().warp_clock;
}

// =============================================================================================== the check of one access
static const char* verb(Access kind) { return kind == Read ? "read" : kind == Write ? "write" : "atomic"; }
[[noreturn]] static void out_of_bounds(const char* p, size_t n, Access kind, int line) {
    if (is_shared(p)) fail(Fault::IllegalAddress, line, "out-of-bounds %s of %zu bytes in shared memory", verb(kind), n);
    Allocation* a = owner_of(p);
    for (const char* q = p; !a && q >= arena; q -= Page) a = owner_of(q);
    if (!a) fail(Fault::IllegalAddress, line, "out-of-bounds %s of %zu bytes in global memory", verb(kind), n);
    if (a->freed) fail(Fault::IllegalAddress, line, "%s of %zu bytes in global memory that was freed, or beside it", verb(kind), n);
    long past = (long)(p + n - (a->p + a->n));
    fail(Fault::IllegalAddress, line, "out-of-bounds %s of %zu bytes in global memory, ending %ld bytes %s of an allocation of %zu bytes",
         verb(kind), n, past > 0 ? past : (long)(a->p - p), past > 0 ? "past the end" : "before the start", a->n);
}
static void check_cell(Cell& c, Access kind, bool shared, int line) {
    const char* where = shared ? "shared" : "global";
    auto stale = [&](unsigned launch, unsigned key) {
        return launch != launch_serial || (shared && key && (key - 1) / 1024 != block_serial);
    };
    bool fresh_w = stale(c.launch, c.writer), fresh_r = stale(c.rlaunch, c.reader);
    if (!fresh_w && !(kind == Atomic && c.atomic) && !ordered(c.writer, c.wblock, c.wwarp))
        fail(Fault::Race, line, "race on %s memory: this %s follows a%s by thread %u of block %u with no barrier between", where,
             verb(kind), c.atomic ? "n atomic" : " write", (c.writer - 1) % 1024, (c.writer - 1) / 1024);
    if (kind != Read && !fresh_r)
        for (unsigned r : {c.reader, c.reader2})
            if (!ordered(r, c.rblock, c.rwarp))
                fail(Fault::Race, line, "race on %s memory: this %s follows a read by thread %u of block %u with no barrier between", where,
                     verb(kind), (r - 1) % 1024, (r - 1) / 1024);
    if (kind == Read) {
        if (fresh_r || c.rblock != block_clock || (c.reader - 1) / 1024 != block_serial) { c.reader2 = 0; c.reader = thread_key(); }
        else if (c.reader != thread_key()) c.reader2 = thread_key();
        c.rlaunch = launch_serial; c.rblock = block_clock; c.rwarp = me().warp_clock;
    } else {
        c.launch = launch_serial; c.writer = thread_key(); c.wblock = block_clock; c.wwarp = me().warp_clock;
        c.atomic = kind == Atomic;
    }
}
void check(const void* p, size_t n, Access kind, int line, void* code, bool aligned) {
    if (!in_kernel || !n) return;
    const char* a = static_cast<const char*>(p);
    bool shared = is_shared(a);
    if (!shared && !in_arena(a) && a >= (char*)Page) return;   // a stack or a constant; a pointer of the host cannot be told from them
    fault_code = code;
    if (!shared && !in_arena(a)) fail(Fault::IllegalAddress, line, "%s of %zu bytes at %p", verb(kind), n, p);
    if (aligned && n <= 16 && (n & (n - 1)) == 0 && (uintptr_t)a % n)
        fail(Fault::Misaligned, line, "%s of %zu bytes in %s memory at an address that is %zu beyond a multiple", verb(kind), n,
             shared ? "shared" : "global", (size_t)((uintptr_t)a % n));
    Allocation* owner = shared ? nullptr : holding(a);
    if (!shared && (!owner || a + n > owner->p + owner->n)) out_of_bounds(a, n, kind, line);
    const char* base = shared ? shared_arena : owner->p;
    if (shared && n == 1) share_by_bytes();
    Cell* cells = shared ? shared_cells : cells_of(*owner, n == 1);
    size_t unit = shared ? shared_unit : owner->unit;
    Written* written = shared ? nullptr : written_of(*owner);
    size_t first = (size_t)(a - base), last = first + n - 1;
    for (size_t i = first / 2; i <= last / 2; i++)
        if (shared && shared_state[i] == Outside) out_of_bounds(a, n, kind, line);
    for (size_t i = first / unit; i <= last / unit; i++) check_cell(cells[i], kind, shared, line);
    for (size_t i = first / 2; i <= last / 2; i++) {
        if (kind != Write && !(shared ? shared_state[i] == Filled : written[i] == Yes))
            fail(Fault::Uninitialised, line, "%s of %zu bytes of %s memory that nothing wrote before", verb(kind), n,
                 shared ? "shared" : "global");
        if (kind == Read) continue;
        if (shared) shared_state[i] = Filled; else written[i] = Yes;
    }
    fault_code = nullptr;
}
void mark_atomic(void* p, size_t n, int line) {
    if (!checking) return;
    check(p, n, Atomic, line, nullptr);
    publish(p);
}
}  // namespace simt

// =============================================================================================== the compiler's hooks
using simt::Read;
using simt::Write;
#define CODE __builtin_return_address(0)
extern "C" {
// -fsanitize=alignment: the compiler may split a float4 into floats, and then the hook of the access sees four bytes.
struct AlignmentSite { const char* file; unsigned line, column; const void* type; unsigned char log2_align, kind; };
void __ubsan_handle_type_mismatch_v1(AlignmentSite* s, uintptr_t p) {
    if (!simt::in_kernel) return;
    if (p < 4096) simt::fail(simt::Fault::IllegalAddress, (int)s->line, "access to %p", (void*)p);
    simt::fail(simt::Fault::Misaligned, (int)s->line, "access to %p, which needs an alignment of %u", (void*)p, 1u << s->log2_align);
}
void __ubsan_handle_type_mismatch_v1_abort(AlignmentSite* s, uintptr_t p) { __ubsan_handle_type_mismatch_v1(s, p); }
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
#define HOOK(n)                                                                                   \
    void __tsan_read##n(void* p) { simt::check(p, n, Read, 0, CODE); }                             \
    void __tsan_write##n(void* p) { simt::check(p, n, Write, 0, CODE); }                           \
    void __tsan_read_write##n(void* p) { simt::check(p, n, Read, 0, CODE); simt::check(p, n, Write, 0, CODE); } \
    void __tsan_unaligned_read##n(void* p) { simt::check(p, n, Read, 0, CODE, false); }            \
    void __tsan_unaligned_write##n(void* p) { simt::check(p, n, Write, 0, CODE, false); }
HOOK(1) HOOK(2) HOOK(4) HOOK(8) HOOK(16)
void __tsan_read_range(void* p, size_t n) { simt::check(p, n, Read, 0, CODE, false); }
void __tsan_write_range(void* p, size_t n) { simt::check(p, n, Write, 0, CODE, false); }
void* __tsan_memcpy(void* d, const void* s, size_t n) {
    simt::check(s, n, Read, 0, CODE, false);
    simt::check(d, n, Write, 0, CODE, false);
    return memcpy(d, s, n);
}
void* __tsan_memmove(void* d, const void* s, size_t n) {
    simt::check(s, n, Read, 0, CODE, false);
    simt::check(d, n, Write, 0, CODE, false);
    return memmove(d, s, n);
}
void* __tsan_memset(void* d, int v, size_t n) { simt::check(d, n, Write, 0, CODE, false); return memset(d, v, n); }
}
