// fake_control.cpp - what a stand-in's driver says of its cards, the counting and planting of failures, and what tests ask of it.
#include "fake_cuda.h"
#include <cstdio>
#include <cstring>

namespace driver {
constexpr size_t DefaultMemory = (size_t)8 << 30;
constexpr int DefaultDriver = 12080, DefaultMajor = 9, DefaultMinor = 0;
size_t total_memory = DefaultMemory;
int device_count = 1, driver_version = DefaultDriver, capability_major = DefaultMajor, capability_minor = DefaultMinor;
static bool initialised;

static const char* const names[] = {
    "cuInit",
    "cuDriverGetVersion",
    "cuDeviceGetCount",
    "cuDeviceGet",
    "cuDeviceGetName",
    "cuDeviceGetAttribute",
    "cuDeviceTotalMem_v2",
    "cuDevicePrimaryCtxRetain",
    "cuDevicePrimaryCtxRelease_v2",
    "cuCtxSetCurrent",
    "cuCtxGetCurrent",
    "cuCtxSynchronize",
    "cuMemGetInfo_v2",
    "cuMemAlloc_v2",
    "cuMemFree_v2",
    "cuMemHostAlloc",
    "cuMemFreeHost",
    "cuMemsetD8Async",
    "cuMemsetD32Async",
    "cuMemcpyHtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyDtoDAsync_v2",
    "cuModuleLoadDataEx",
    "cuModuleUnload",
    "cuModuleGetFunction",
    "cuFuncGetAttribute",
    "cuFuncSetAttribute",
    "cuFuncGetParamInfo",
    "cuLaunchKernel",
    "cuOccupancyMaxActiveBlocksPerMultiprocessor",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamSynchronize",
    "cuStreamQuery",
    "cuStreamWaitEvent",
    "cuEventCreate",
    "cuEventDestroy_v2",
    "cuEventRecord",
    "cuEventQuery",
    "cuEventSynchronize",
    "cuEventElapsedTime",
    "cuStreamBeginCapture_v2",
    "cuStreamEndCapture",
    "cuGraphInstantiateWithFlags",
    "cuGraphLaunch",
    "cuGraphDestroy",
    "cuGraphExecDestroy",
    "cublasCreate_v2",
    "cublasDestroy_v2",
    "cublasSetStream_v2",
    "cublasSetWorkspace_v2",
    "cublasSetMathMode",
    "cublasGetVersion_v2",
    "cublasGemmEx",
};
struct Planted { int in, code; };
static std::map<std::string, Planted> planted;             // "*" counts every call
static std::map<std::string, long long> calls;

static bool is_sticky(int e) {
    return e == ECC_UNCORRECTABLE || e == ILLEGAL_ADDRESS || e == 702 || e == 709 || e == 710 || (e >= 714 && e <= 719) || e == 999;
}
static CUresult as_blas(CUresult e) { return e == OK ? 0 : e == OUT_OF_MEMORY ? 3 : e == INVALID_CONTEXT || e == NOT_INITIALIZED ? 1 : 13; }
CUresult enter(const char* api, bool needs_context, bool is_blas) {
    calls[api]++;
    calls["*"]++;
    for (const char* key : {api, "*"}) {
        auto p = planted.find(key);
        if (p == planted.end() || --p->second.in) continue;
        int code = p->second.code;
        planted.erase(p);
        if (is_sticky(code) && current) current->sticky = code;
        simt::say("a planted failure of %s", api);
        return is_blas && strcmp(key, "*") == 0 ? as_blas(code) : code;
    }
    CUresult e = !initialised && strcmp(api, "cuInit") && strcmp(api, "cuDriverGetVersion") ? NOT_INITIALIZED
        : !needs_context ? OK
        : !current ? INVALID_CONTEXT
        : !current->retained ? CONTEXT_IS_DESTROYED
        : current->sticky;
    return is_blas ? as_blas(e) : e;
}
}  // namespace driver
using namespace driver;

extern "C" {
// =============================================================================================== for tests
// The nth call of an entry point from now ("*": of any) returns a code. Codes of faults on the card stay.
void qsstandin_fail(const char* api, int nth, int code) { std::lock_guard<std::recursive_mutex> g(lock); planted[api] = {nth, code}; }
long long qsstandin_calls(const char* api) {
    std::lock_guard<std::recursive_mutex> g(lock);
    auto i = calls.find(api);
    return i == calls.end() ? 0 : i->second;
}
const char* qsstandin_api(int index) { return index >= 0 && index < (int)(sizeof names / sizeof *names) ? names[index] : nullptr; }
// 0: a thread goes on until it must wait; else fibers switch in an order that the seed determines.
void qsstandin_schedule(unsigned seed) { std::lock_guard<std::recursive_mutex> g(lock); simt::options.seed = seed; }
void qsstandin_memory(size_t bytes) { std::lock_guard<std::recursive_mutex> g(lock); total_memory = bytes; }
void qsstandin_devices(int n) { std::lock_guard<std::recursive_mutex> g(lock); device_count = n; }
void qsstandin_driver(int version) { std::lock_guard<std::recursive_mutex> g(lock); driver_version = version; }
void qsstandin_capability(int major, int minor) {
    std::lock_guard<std::recursive_mutex> g(lock);
    capability_major = major;
    capability_minor = minor;
}
const char* qsstandin_report() { return simt::report; }
void qsstandin_mode(int checked) { std::lock_guard<std::recursive_mutex> g(lock); simt::set_checked(checked != 0); }
// Makes the kernels of a library known, as fast or as checked builds. 0, or 1 with a report.
int qsstandin_load(const char* path, int checked) {
    std::lock_guard<std::recursive_mutex> g(lock);
    return simt::load_library(path, checked != 0) ? 0 : 1;
}
// A card as new: settings, planted failures, counts and the report; work that waits and faults are forgotten. Memory stays with
// its owners. Kernels and the mode stay.
void qsstandin_reset() {
    std::lock_guard<std::recursive_mutex> g(lock);
    planted.clear();
    calls.clear();
    for (auto& c : contexts) {
        if (!c) continue;
        c->sticky = 0;
        c->null_stream.queue.clear();
        for (Stream* s : c->streams) { s->queue.clear(); s->capture.reset(); }
    }
    total_memory = DefaultMemory; device_count = 1; driver_version = DefaultDriver;
    capability_major = DefaultMajor; capability_minor = DefaultMinor;
    simt::options.seed = 0;
    simt::report[0] = 0;
    simt::device_rewind();
}

// =============================================================================================== the cards
CUresult cuInit(unsigned flags) {
    API(false);
    if (flags) return INVALID_VALUE;
    if (!device_count) return NO_DEVICE;
    initialised = true;
    return OK;
}
CUresult cuDriverGetVersion(int* v) { API(false); *v = driver_version; return OK; }
CUresult cuDeviceGetCount(int* n) { API(false); *n = device_count; return OK; }
CUresult cuDeviceGet(CUdevice* d, int ordinal) {
    API(false);
    if (ordinal < 0 || ordinal >= device_count) return INVALID_DEVICE;
    *d = ordinal;
    return OK;
}
CUresult cuDeviceGetName(char* s, int n, CUdevice d) {
    API(false);
    if (d < 0 || d >= device_count) return INVALID_DEVICE;
    snprintf(s, (size_t)n, "QSharp's stand-in for a card");
    return OK;
}
CUresult cuDeviceTotalMem_v2(size_t* n, CUdevice d) {
    API(false);
    if (d < 0 || d >= device_count) return INVALID_DEVICE;
    *n = total_memory;
    return OK;
}
CUresult cuDeviceGetAttribute(int* v, int attribute, CUdevice d) {
    API(false);
    if (d < 0 || d >= device_count) return INVALID_DEVICE;
    int capability = capability_major * 10 + capability_minor;
    bool small = capability == 86 || capability == 89 || capability == 120;
    int shared = capability == 80 || capability == 87 ? 164 : small ? 100 : 228;
    switch (attribute) {
        case 1: case 2: case 3: *v = 1024; break;          // threads of a block, its x, its y
        case 4: *v = 64; break;                            // its z
        case 5: *v = 2147483647; break;                    // a grid's x
        case 6: case 7: *v = 65535; break;                 // its y, its z
        case 8: *v = 48 << 10; break;                      // shared memory of a block, unasked
        case 9: *v = 64 << 10; break;                      // constant memory
        case 10: *v = 32; break;
        case 12: case 82: *v = 65536; break;               // registers
        case 13: *v = 1410000; break;                      // clock, kHz
        case 16: *v = 4; break;                            // multiprocessors: few, so that loops over a grid turn
        case 36: *v = 1593000; break;                      // memory clock, kHz
        case 37: *v = 5120; break;                         // bus, bits
        case 38: *v = 50 << 20; break;                     // L2
        case 39: *v = small ? 1536 : 2048; break;          // threads of a multiprocessor
        case 41: *v = 1; break;                            // unified addressing
        case 75: *v = capability_major; break;
        case 76: *v = capability_minor; break;
        case 81: *v = shared << 10; break;                 // shared memory of a multiprocessor
        case 97: *v = (shared - 1) << 10; break;           // of a block, if asked for
        case 106: *v = capability == 86 ? 16 : small ? 24 : 32; break;   // blocks of a multiprocessor
        case 111: *v = 1 << 10; break;                     // shared memory that a block is charged besides
        case 115: *v = 1; break;                           // memory pools
        default: *v = 0; break;
    }
    return OK;
}

// =============================================================================================== errors
struct ErrorText { int code; const char *name, *text; };
static const ErrorText errors[] = {
    {0, "CUDA_SUCCESS", "no error"},
    {1, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {2, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {3, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {4, "CUDA_ERROR_DEINITIALIZED", "driver shutting down"},
    {100, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {101, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {200, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {201, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {209, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {214, "CUDA_ERROR_ECC_UNCORRECTABLE", "uncorrectable ECC error encountered"},
    {218, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {222, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the provided PTX was compiled with an unsupported toolchain."},
    {400, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {500, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {600, "CUDA_ERROR_NOT_READY", "device not ready"},
    {700, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
    {702, "CUDA_ERROR_LAUNCH_TIMEOUT", "the launch timed out and was terminated"},
    {709, "CUDA_ERROR_CONTEXT_IS_DESTROYED", "context is destroyed"},
    {715, "CUDA_ERROR_ILLEGAL_INSTRUCTION", "an illegal instruction was encountered"},
    {716, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
    {719, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"},
    {901, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "operation failed due to a previous error during capture"},
    {999, "CUDA_ERROR_UNKNOWN", "unknown error"},
};
static CUresult error_text(int code, const char** s, const char* ErrorText::*part) {
    *s = nullptr;
    for (const ErrorText& e : errors) if (e.code == code) { *s = e.*part; return OK; }
    return INVALID_VALUE;
}
CUresult cuGetErrorName(CUresult e, const char** s) { return error_text(e, s, &ErrorText::name); }
CUresult cuGetErrorString(CUresult e, const char** s) { return error_text(e, s, &ErrorText::text); }
}
