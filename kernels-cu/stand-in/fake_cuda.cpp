// fake_cuda.cpp - a stand-in libcuda: the driver-API entry points QSharp uses, over simt.cpp.
//  * Device memory is closed to the host except inside these calls, so a host read of a device pointer faults.
//  * Streams queue; work runs when something waits for it (QSSTANDIN_EAGER=1: at once). A missing synchronisation shows.
//  * qsstandin_fail("cuMemAlloc_v2", 3, 2) makes the third call from now return error 2; sticky errors behave as on a GPU.
#include "simt.h"
#include "simt_host.h"
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>
#include <dlfcn.h>
#undef threadIdx
#undef blockIdx
#undef blockDim
#undef gridDim

using CUresult = int; using CUdevice = int; using CUdeviceptr = unsigned long long;
enum { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_DEVICE = 101, INVALID_IMAGE = 200, INVALID_CONTEXT = 201,
       INVALID_PTX = 218, INVALID_HANDLE = 400, NOT_FOUND = 500, NOT_READY = 600, ILLEGAL_ADDRESS = 700, LAUNCH_OUT_OF_RESOURCES = 701, MISALIGNED = 716,
       LAUNCH_FAILED = 719, CAPTURE_UNSUPPORTED = 900 };
static const std::map<int, std::pair<const char*, const char*>> errors = {
    {0, {"CUDA_SUCCESS", "no error"}}, {1, {"CUDA_ERROR_INVALID_VALUE", "invalid argument"}}, {2, {"CUDA_ERROR_OUT_OF_MEMORY", "out of memory"}},
    {3, {"CUDA_ERROR_NOT_INITIALIZED", "initialization error"}}, {100, {"CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"}},
    {101, {"CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"}}, {200, {"CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"}},
    {201, {"CUDA_ERROR_INVALID_CONTEXT", "invalid device context"}}, {214, {"CUDA_ERROR_ECC_UNCORRECTABLE", "uncorrectable ECC error encountered"}},
    {218, {"CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"}}, {400, {"CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"}},
    {500, {"CUDA_ERROR_NOT_FOUND", "named symbol not found"}}, {600, {"CUDA_ERROR_NOT_READY", "device not ready"}},
    {700, {"CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"}}, {701, {"CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"}},
    {716, {"CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"}}, {719, {"CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"}},
    {900, {"CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"}}};

struct Stream; struct Event;
struct Task { std::function<CUresult()> run; std::shared_ptr<Event> waits_for, signals; };
struct Event { bool recorded = false, done = true; double time = 0; };
struct Graph { std::vector<Task> tasks; };
struct Stream { std::vector<Task> queue; std::unique_ptr<Graph> capture; };
struct Function { const simt::KernelInfo* kernel; int dynamic_limit = 48 * 1024; std::string name; };
struct Module { std::map<std::string, std::vector<size_t>> entries; std::vector<std::unique_ptr<Function>> functions; };

static std::recursive_mutex lock_;
static bool initialised; static int retained, current, sticky;
static size_t total_memory = (size_t)2 << 30;
static bool eager = getenv("QSSTANDIN_EAGER") != nullptr;
static Stream null_stream; static std::set<Stream*> streams;
static std::map<void*, std::shared_ptr<Event>> events;
static std::set<Module*> modules; static std::set<Function*> functions; static std::set<Graph*> graphs;
struct Planned { int in, code; };
static std::map<std::string, Planned> planned;
static std::map<std::string, int> calls;
static double clock_ms;                                       // simulated: one ms a task

static CUresult enter(const char* api, bool needs_context = true) {
    calls[api]++;
    auto p = planned.find(api);
    if (p != planned.end() && --p->second.in == 0) { int code = p->second.code; planned.erase(p); if (code >= 700 || code == 214) sticky = code; return code; }
    if (!initialised) return NOT_INITIALIZED;
    if (needs_context && !current) return INVALID_CONTEXT;
    return sticky;
}
#define API(...) std::lock_guard<std::recursive_mutex> guard(lock_); if (int e = enter(__func__ __VA_OPT__(,) __VA_ARGS__)) return e
struct Open { Open() { simt::device_lock(false); } ~Open() { simt::device_lock(true); } };   // the "DMA engine" may touch device memory

static Stream* stream_of(void* s) { return s == nullptr || s == (void*)1 || s == (void*)2 ? &null_stream : streams.count((Stream*)s) ? (Stream*)s : nullptr; }
static CUresult run_task(Task& t) {
    if (t.run) if (int e = t.run()) { sticky = e; return e; }
    clock_ms += 1;
    if (t.signals) { t.signals->done = true; t.signals->time = clock_ms; }
    return OK;
}
static CUresult drain(Stream* s);
static CUresult drain_until(Event* e) {
    for (int round = 0; round < 1000 && !e->done; round++)
        for (Stream* s : streams) for (auto& t : s->queue) if (t.signals.get() == e) { if (int r = drain(s)) return r; goto next; }
next:
    if (!e->done) return drain(&null_stream);
    return OK;
}
static CUresult drain(Stream* s) {
    auto q = std::move(s->queue); s->queue.clear();
    for (auto& t : q) {
        if (t.waits_for && !t.waits_for->done) if (int e = drain_until(t.waits_for.get())) return e;
        if (int e = run_task(t)) return e;
    }
    return OK;
}
static CUresult drain_all() { for (Stream* s : streams) if (int e = drain(s)) return e; return drain(&null_stream); }
static CUresult enqueue(void* sp, Task t) {
    Stream* s = stream_of(sp);
    if (!s) return INVALID_HANDLE;
    if (s->capture) { s->capture->tasks.push_back(std::move(t)); return OK; }
    s->queue.push_back(std::move(t));
    if (s == &null_stream) return drain_all();                // legacy default stream: waits for all others
    return eager ? drain(s) : OK;
}
static bool capturing() { for (Stream* s : streams) if (s->capture) return true; return false; }
static bool inside(CUdeviceptr p, size_t n) { return simt::device_range((void*)p) >= n; }

extern "C" {
// ---- test controls (exported beside the driver API)
void qsstandin_fail(const char* api, int nth_from_now, int code) { planned[api] = {nth_from_now, code}; }
void qsstandin_memory(size_t bytes) { total_memory = bytes; }
void qsstandin_schedule(unsigned seed) { simt::options.seed = seed; }
int qsstandin_calls(const char* api) { return calls[api]; }
const char* qsstandin_report() { return simt::report; }
void qsstandin_mode(int checked) { simt::use_checked = checked != 0; }
int qsstandin_load(const char* path, int checked) {
    simt::load_checked = checked != 0;
    if (dlopen(path, RTLD_NOW | RTLD_LOCAL)) return 0;
    snprintf(simt::report, sizeof simt::report, "%s", dlerror());
    return 1;
}
void qsstandin_reset() { sticky = 0; planned.clear(); null_stream.queue.clear(); for (Stream* s : streams) s->queue.clear(); }

CUresult cuInit(unsigned flags) { std::lock_guard<std::recursive_mutex> g(lock_); if (flags) return INVALID_VALUE; initialised = true; return enter(__func__, false); }
CUresult cuDriverGetVersion(int* v) { *v = 12080; return OK; }
CUresult cuDeviceGetCount(int* n) { API(false); *n = 1; return OK; }
CUresult cuDeviceGet(CUdevice* d, int ordinal) { API(false); if (ordinal) return INVALID_DEVICE; *d = 0; return OK; }
CUresult cuDeviceGetName(char* s, int n, CUdevice) { API(false); snprintf(s, n, "QSharp CPU stand-in"); return OK; }
CUresult cuDeviceTotalMem_v2(size_t* n, CUdevice) { API(false); *n = total_memory; return OK; }
CUresult cuDeviceGetAttribute(int* v, int attribute, CUdevice) {
    API(false);
    static const std::map<int, int> a = {{1, 1024}, {8, 48 << 10}, {10, 32}, {12, 65536}, {13, 1410000}, {16, 4}, {36, 1593000}, {37, 5120}, {38, 50 << 20}, {39, 2048},
                                         {75, 9}, {76, 0}, {81, 228 << 10}, {82, 65536}, {97, 227 << 10}, {111, 1 << 10}, {115, 1}};
    auto i = a.find(attribute); *v = i == a.end() ? 0 : i->second; return OK;
}
CUresult cuDevicePrimaryCtxRetain(void** ctx, CUdevice) { API(false); retained++; *ctx = &retained; return OK; }
CUresult cuDevicePrimaryCtxRelease_v2(CUdevice) { API(false); if (!retained) return INVALID_CONTEXT; retained--; return OK; }
CUresult cuCtxSetCurrent(void* ctx) { API(false); current = ctx != nullptr; return OK; }
CUresult cuCtxSynchronize() { API(); if (capturing()) return CAPTURE_UNSUPPORTED; return drain_all(); }
CUresult cuGetErrorName(CUresult e, const char** s) { auto i = errors.find(e); *s = i == errors.end() ? nullptr : i->second.first; return i == errors.end() ? INVALID_VALUE : OK; }
CUresult cuGetErrorString(CUresult e, const char** s) { auto i = errors.find(e); *s = i == errors.end() ? nullptr : i->second.second; return i == errors.end() ? INVALID_VALUE : OK; }
const char* cublasGetStatusString(int) { return "CUBLAS_STATUS"; }

// ---- memory
CUresult cuMemAlloc_v2(CUdeviceptr* p, size_t n) {
    API(); if (!n) return INVALID_VALUE;
    if (simt::device_in_use() + n > total_memory) return OUT_OF_MEMORY;
    void* m = simt::device_alloc(n); *p = (CUdeviceptr)m;
    if (!m) return OUT_OF_MEMORY;
    Open o; memset(m, 0xff, n);                               // fresh memory is NaN
    return OK;
}
CUresult cuMemFree_v2(CUdeviceptr p) {
    API(); if (!p) return OK;
    if (int e = drain_all()) return e;
    size_t n = simt::device_range((void*)p);
    { Open o; if (n && n < 1 << 16) memset((void*)p, 0xff, n); }             // stale reads see NaN
    return simt::device_free((void*)p) ? OK : INVALID_VALUE;
}
CUresult cuMemGetInfo_v2(size_t* free_, size_t* total) { API(); *total = total_memory; *free_ = total_memory - std::min(total_memory, simt::device_in_use()); return OK; }
CUresult cuMemAllocHost_v2(void** p, size_t n) { API(); *p = aligned_alloc(4096, (n + 4095) / 4096 * 4096); return *p ? OK : OUT_OF_MEMORY; }
CUresult cuMemHostAlloc(void** p, size_t n, unsigned) { return cuMemAllocHost_v2(p, n); }
CUresult cuMemFreeHost(void* p) { API(); free(p); return OK; }
static CUresult copy_in(CUdeviceptr d, const void* s, size_t n) { Open o; memcpy((void*)d, s, n); simt::device_written((void*)d, n); return OK; }
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr d, const void* s, size_t n, void* st) { API(); if (!inside(d, n)) return INVALID_VALUE; return enqueue(st, {[=] { return copy_in(d, s, n); }, {}, {}}); }
CUresult cuMemcpyDtoHAsync_v2(void* d, CUdeviceptr s, size_t n, void* st) { API(); if (!inside(s, n)) return INVALID_VALUE; return enqueue(st, {[=] { Open o; memcpy(d, (void*)s, n); return OK; }, {}, {}}); }
CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr d, CUdeviceptr s, size_t n, void* st) { API(); if (!inside(s, n) || !inside(d, n)) return INVALID_VALUE; return enqueue(st, {[=] { Open o; memmove((void*)d, (void*)s, n); simt::device_written((void*)d, n); return OK; }, {}, {}}); }
CUresult cuMemcpyHtoD_v2(CUdeviceptr d, const void* s, size_t n) { API(); if (capturing()) return CAPTURE_UNSUPPORTED; if (!inside(d, n)) return INVALID_VALUE; return enqueue(nullptr, {[=] { return copy_in(d, s, n); }, {}, {}}); }
CUresult cuMemcpyDtoH_v2(void* d, CUdeviceptr s, size_t n) { API(); if (capturing()) return CAPTURE_UNSUPPORTED; if (!inside(s, n)) return INVALID_VALUE; return enqueue(nullptr, {[=] { Open o; memcpy(d, (void*)s, n); return OK; }, {}, {}}); }
CUresult cuMemsetD8Async(CUdeviceptr d, unsigned char v, size_t n, void* st) { API(); if (!inside(d, n)) return INVALID_VALUE; return enqueue(st, {[=] { Open o; memset((void*)d, v, n); simt::device_written((void*)d, n); return OK; }, {}, {}}); }

CUresult cuMemsetD32Async(CUdeviceptr d, unsigned v, size_t n, void* st) { API(); if (!inside(d, n * 4)) return INVALID_VALUE; return enqueue(st, {[=] { Open o; for (size_t i = 0; i < n; i++) ((unsigned*)d)[i] = v; simt::device_written((void*)d, n * 4); return OK; }, {}, {}}); }

// ---- modules. PTX text is read for its entry points and the sizes of their parameters; a cubin is taken by name only.
static size_t ptx_size(const std::string& t) { return t.find("64") != t.npos ? 8 : t.find("32") != t.npos ? 4 : t.find("16") != t.npos ? 2 : 1; }
CUresult cuModuleLoadDataEx(void** out, const void* image, unsigned, int*, void**) {
    API();
    auto m = std::make_unique<Module>();
    const char* s = static_cast<const char*>(image);
    if (memcmp(s, "\x7f" "ELF", 4) != 0) {
        std::string ptx = s;
        if (ptx.find(".version") == ptx.npos) return INVALID_PTX;
        for (size_t at = 0; (at = ptx.find(".entry ", at)) != ptx.npos;) {
            at += 7;
            size_t open = ptx.find('(', at), close = ptx.find(')', open);
            std::string name = ptx.substr(at, open - at), list = ptx.substr(open, close - open);
            name.erase(name.find_last_not_of(" \n\t") + 1);
            std::vector<size_t> sizes;
            for (size_t k = 0; (k = list.find(".param", k)) != list.npos;) {
                k += 6;
                size_t end = std::min(list.find(',', k), list.size());
                std::string one = list.substr(k, end - k);
                size_t bracket = one.find('[');
                sizes.push_back(bracket == one.npos ? ptx_size(one.substr(0, one.rfind(' '))) : strtoul(one.c_str() + bracket + 1, nullptr, 10));
            }
            m->entries[name] = sizes;
        }
    }
    modules.insert(m.get()); *out = m.release(); return OK;
}
CUresult cuModuleLoadData(void** out, const void* image) { return cuModuleLoadDataEx(out, image, 0, nullptr, nullptr); }
CUresult cuModuleUnload(void* m) { API(); if (!modules.erase((Module*)m)) return INVALID_HANDLE; for (auto& f : ((Module*)m)->functions) functions.erase(f.get()); delete (Module*)m; return OK; }
CUresult cuModuleGetFunction(void** out, void* mod, const char* name) {
    API(); if (!modules.count((Module*)mod)) return INVALID_HANDLE;
    Module* m = (Module*)mod;
    const simt::KernelInfo* k = simt::find_kernel(name);
    auto e = m->entries.find(name);
    if (!k || (!m->entries.empty() && e == m->entries.end())) return NOT_FOUND;
    if (e != m->entries.end()) {                              // the PTX and the g++ build must agree on the parameters
        bool same = (int)e->second.size() == k->params;
        for (int i = 0; same && i < k->params; i++) same = e->second[i] == k->sizes[i];
        if (!same) { snprintf(simt::report, sizeof simt::report, "%s: parameters differ between PTX and CPU build", name); return INVALID_IMAGE; }
    }
    m->functions.push_back(std::make_unique<Function>(Function{k, 48 * 1024, name}));
    functions.insert(m->functions.back().get()); *out = m->functions.back().get(); return OK;
}
CUresult cuFuncSetAttribute(void* f, int attribute, int v) { API(); if (!functions.count((Function*)f)) return INVALID_HANDLE; if (attribute == 8) { if (v > 227 * 1024) return INVALID_VALUE; ((Function*)f)->dynamic_limit = v; } return OK; }
CUresult cuFuncGetAttribute(int* v, int, void* f) { API(); if (!functions.count((Function*)f)) return INVALID_HANDLE; *v = 0; return OK; }
CUresult cuFuncGetParamInfo(void* fn, size_t i, size_t* offset, size_t* size) {
    API(); Function* f = (Function*)fn;
    if (!functions.count(f)) return INVALID_HANDLE;
    if ((int)i >= f->kernel->params) return INVALID_VALUE;
    *offset = 0; *size = f->kernel->sizes[i]; return OK;
}
CUresult cuLaunchKernel(void* fn, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void* st, void** params, void** extra) {
    API();
    Function* f = (Function*)fn;
    if (!functions.count(f)) return INVALID_HANDLE;
    if (extra || (f->kernel->params && !params)) return INVALID_VALUE;
    if (!gx || !gy || !gz || !bx || !by || !bz || bx * by * bz > 1024 || (int)shared > f->dynamic_limit) return INVALID_VALUE;
    auto args = std::make_shared<std::vector<std::vector<char>>>();   // arguments are copied now, as the real driver does
    for (int i = 0; i < f->kernel->params; i++) args->emplace_back((char*)params[i], (char*)params[i] + f->kernel->sizes[i]);
    const simt::KernelInfo* k = f->kernel;
    return enqueue(st, {[=]() -> CUresult {
        std::vector<void*> a; for (auto& x : *args) a.push_back(x.data());
        unsigned g[3] = {gx, gy, gz}, b[3] = {bx, by, bz};
        switch (simt::launch(*k, g, b, shared, a.data())) {
            case simt::Fault::None: return OK;
            case simt::Fault::IllegalAddress: return ILLEGAL_ADDRESS;
            case simt::Fault::Misaligned: return MISALIGNED;
            case simt::Fault::Config: return LAUNCH_OUT_OF_RESOURCES;
            default: return LAUNCH_FAILED;
        }
    }, {}, {}});
}
CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* n, void*, int block, size_t) { API(); *n = std::max(1, 2048 / block); return OK; }

// ---- streams, events, graphs
CUresult cuStreamCreate(void** s, unsigned) { API(); auto* x = new Stream; streams.insert(x); *s = x; return OK; }
CUresult cuStreamDestroy_v2(void* s) { API(); if (!streams.count((Stream*)s)) return INVALID_HANDLE; int e = drain((Stream*)s); streams.erase((Stream*)s); delete (Stream*)s; return e; }
CUresult cuStreamSynchronize(void* s) { API(); Stream* x = stream_of(s); if (!x) return INVALID_HANDLE; if (x->capture) return CAPTURE_UNSUPPORTED; return drain(x); }
CUresult cuStreamQuery(void* s) { API(); Stream* x = stream_of(s); if (!x) return INVALID_HANDLE; return x->queue.empty() ? OK : NOT_READY; }
CUresult cuStreamWaitEvent(void* s, void* e, unsigned) { API(); if (!events.count(e)) return INVALID_HANDLE; return enqueue(s, {{}, events[e], {}}); }
CUresult cuEventCreate(void** e, unsigned) { API(); auto x = std::make_shared<Event>(); events[x.get()] = x; *e = x.get(); return OK; }
CUresult cuEventDestroy_v2(void* e) { API(); return events.erase(e) ? OK : INVALID_HANDLE; }
CUresult cuEventRecord(void* e, void* s) { API(); if (!events.count(e)) return INVALID_HANDLE; auto x = events[e]; x->recorded = true; x->done = false; return enqueue(s, {{}, {}, x}); }
CUresult cuEventQuery(void* e) { API(); if (!events.count(e)) return INVALID_HANDLE; return events[e]->done ? OK : NOT_READY; }
CUresult cuEventSynchronize(void* e) { API(); if (!events.count(e)) return INVALID_HANDLE; return drain_until(events[e].get()); }
CUresult cuEventElapsedTime(float* ms, void* a, void* b) { API(); if (!events.count(a) || !events.count(b)) return INVALID_HANDLE; if (!events[a]->recorded || !events[b]->recorded) return INVALID_HANDLE; if (!events[a]->done || !events[b]->done) return NOT_READY; *ms = (float)(events[b]->time - events[a]->time); return OK; }
CUresult cuStreamBeginCapture_v2(void* s, int) { API(); if (!streams.count((Stream*)s)) return INVALID_VALUE; ((Stream*)s)->capture = std::make_unique<Graph>(); return OK; }
CUresult cuStreamEndCapture(void* s, void** g) { API(); Stream* x = stream_of(s); if (!x || !x->capture) return INVALID_VALUE; graphs.insert(x->capture.get()); *g = x->capture.release(); return OK; }
CUresult cuGraphInstantiateWithFlags(void** exec, void* g, unsigned long long) { API(); if (!graphs.count((Graph*)g)) return INVALID_HANDLE; auto* x = new Graph(*(Graph*)g); graphs.insert(x); *exec = x; return OK; }
CUresult cuGraphLaunch(void* g, void* s) { API(); if (!graphs.count((Graph*)g)) return INVALID_HANDLE; for (auto& t : ((Graph*)g)->tasks) if (int e = enqueue(s, t)) return e; return OK; }
CUresult cuGraphDestroy(void* g) { API(); if (!graphs.erase((Graph*)g)) return INVALID_HANDLE; delete (Graph*)g; return OK; }
CUresult cuGraphExecDestroy(void* g) { API(); if (!graphs.erase((Graph*)g)) return INVALID_HANDLE; delete (Graph*)g; return OK; }

// ---- cuBLAS: column-major C[m,n] = alpha op(A) op(B) + beta C; fp32, fp16 not needed, bf16; fp32 accumulation
struct Blas { void* stream = nullptr; };
static float load(const void* p, int type, size_t i) { return type == 0 ? ((const float*)p)[i] : to_float(((const bf16*)p)[i]); }
static void store(void* p, int type, size_t i, float v) { if (type == 0) ((float*)p)[i] = v; else ((bf16*)p)[i] = to_bf16(v); }
int cublasCreate_v2(void** h) { if (!current) return 1; *h = new Blas; return 0; }
int cublasDestroy_v2(void* h) { delete (Blas*)h; return 0; }
int cublasSetStream_v2(void* h, void* s) { ((Blas*)h)->stream = s; return 0; }
int cublasSetMathMode(void*, int) { return 0; }
int cublasSetWorkspace_v2(void*, void*, size_t) { return 0; }
int cublasGetVersion_v2(void*, int* v) { *v = 120800; return 0; }
int cublasGemmStridedBatchedEx(void* h, int ta, int tb, int m, int n, int k, const void* alpha, const void* a, int at, int lda, long long sa, const void* b, int bt, int ldb, long long sb,
                               const void* beta, void* c, int ct, int ldc, long long sc, int batch, int compute, int) {
    std::lock_guard<std::recursive_mutex> g(lock_);
    if (int e = enter("cublasGemmEx")) return e == OUT_OF_MEMORY ? 3 : 13;
    auto known = [](int t) { return t == 0 || t == 14; };     // CUDA_R_32F, CUDA_R_16BF
    if (m < 0 || n < 0 || k < 0 || lda < std::max(1, ta ? k : m) || ldb < std::max(1, tb ? n : k) || ldc < std::max(1, m)) return 7;
    if (!known(at) || !known(bt) || !known(ct) || at != bt || (compute != 68 && compute != 77 && compute != 75)) return 15;
    size_t es = at == 14 ? 2 : 4, cs = ct == 14 ? 2 : 4;
    if (m && n && k && (!inside((CUdeviceptr)a, ((size_t)(ta ? m - 1 : k - 1) * lda + (ta ? k : m)) * es + (batch - 1) * sa * es) ||
                        !inside((CUdeviceptr)b, ((size_t)(tb ? k - 1 : n - 1) * ldb + (tb ? n : k)) * es + (batch - 1) * sb * es) ||
                        !inside((CUdeviceptr)c, ((size_t)(n - 1) * ldc + m) * cs + (batch - 1) * sc * cs))) return 7;
    float al = *(const float*)alpha, be = *(const float*)beta;
    return enqueue(((Blas*)h)->stream, {[=]() -> CUresult {
        Open o;
        std::vector<float> A((size_t)m * k), B((size_t)n * k);
        for (int q = 0; q < batch; q++) {
            for (int i = 0; i < m; i++) for (int p = 0; p < k; p++) A[(size_t)i * k + p] = load((const char*)a + q * sa * es, at, ta ? p + (size_t)i * lda : i + (size_t)p * lda);
            for (int j = 0; j < n; j++) for (int p = 0; p < k; p++) B[(size_t)j * k + p] = load((const char*)b + q * sb * es, bt, tb ? j + (size_t)p * ldb : p + (size_t)j * ldb);
            for (int j = 0; j < n; j++) for (int i = 0; i < m; i++) {
                float s = 0; const float *x = &A[(size_t)i * k], *y = &B[(size_t)j * k];
                for (int p = 0; p < k; p++) s += x[p] * y[p];
                size_t at_ = i + (size_t)j * ldc; char* cq = (char*)c + q * sc * cs;
                store(cq, ct, at_, al * s + (be == 0 ? 0 : be * load(cq, ct, at_)));
            }
            for (int j = 0; j < n; j++) simt::device_written((char*)c + (q * sc + (size_t)j * ldc) * cs, m * cs);
        }
        return OK;
    }, {}, {}}) ? 13 : 0;
}
int cublasGemmEx(void* h, int ta, int tb, int m, int n, int k, const void* alpha, const void* a, int at, int lda, const void* b, int bt, int ldb,
                 const void* beta, void* c, int ct, int ldc, int compute, int algo) {
    return cublasGemmStridedBatchedEx(h, ta, tb, m, n, k, alpha, a, at, lda, 0, b, bt, ldb, 0, beta, c, ct, ldc, 0, 1, compute, algo);
}
}
