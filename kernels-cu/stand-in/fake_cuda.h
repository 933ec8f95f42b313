// fake_cuda.h - the state of the stand-in's driver, shared by its entry points: fake_cuda.cpp holds contexts, memory, streams and
// events, fake_modules.cpp kernels, fake_images.cpp the reading of their images, fake_control.cpp what tests ask, fake_cublas.cpp
#pragma once
#include "simt_host.h"
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

using CUresult = int;
using CUdevice = int;
using CUdeviceptr = unsigned long long;
enum : int {
    OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_DEVICE = 101, INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201, NO_BINARY_FOR_GPU = 209, ECC_UNCORRECTABLE = 214, INVALID_PTX = 218, UNSUPPORTED_PTX_VERSION = 222,
    INVALID_HANDLE = 400, NOT_FOUND = 500, NOT_READY = 600, ILLEGAL_ADDRESS = 700, LAUNCH_OUT_OF_RESOURCES = 701,
    CONTEXT_IS_DESTROYED = 709, MISALIGNED_ADDRESS = 716, LAUNCH_FAILED = 719, STREAM_CAPTURE_UNSUPPORTED = 900,
    STREAM_CAPTURE_INVALIDATED = 901, ILLEGAL_INSTRUCTION = 715,
};

namespace driver {
struct Stream;
struct Record { Stream* stream = nullptr; bool done = false; double time = 0; };     // one cuEventRecord
struct Event { std::shared_ptr<Record> last; };
struct Task { std::function<CUresult()> run; std::shared_ptr<Record> waits_for, signals; };
struct Graph { std::vector<Task> tasks; };
struct Context;
struct Stream {
    Context* context = nullptr;
    bool blocking = true;                                  // whether the legacy default stream waits for it
    std::deque<Task> queue;
    std::unique_ptr<Graph> capture;
    bool is_captured_by_thread = false, invalidated = false;
    unsigned long long thread = 0;
};
struct Parameter { size_t offset, size; };
struct Function {                                          // what the image says of a kernel
    std::string name;
    simt::KernelEntry entry;                               // its builds when it was asked for: a later library's are another kernel's
    std::vector<Parameter> parameters;
    int max_threads = 1024, registers = 0, static_shared = 0, local = 0, dynamic_limit = 48 << 10;
};
struct Module { Context* context = nullptr; std::map<std::string, Function> functions; };
struct Context {                                           // a card's primary context
    int retained = 0;
    size_t in_use = 0;
    Stream null_stream;
    std::set<Stream*> streams;
    std::set<Event*> events;
    std::set<Module*> modules;
    std::set<Graph*> graphs;
    std::map<CUdeviceptr, size_t> memory;
    int sticky = 0;
};

extern std::recursive_mutex lock;
extern std::vector<std::unique_ptr<Context>> contexts;     // by device
extern thread_local Context* current;
extern size_t total_memory;
extern int device_count, driver_version, capability_major, capability_minor;

// Counts the call, and says what it returns before it does anything: a planted failure, a missing context, a lost card.
CUresult enter(const char* api, bool needs_context = true, bool is_blas = false);
CUresult unsafe_in_capture();                              // for calls that no capture allows; they end the capture
Stream* stream_of(void* handle);                           // nullptr if it is none
CUresult enqueue(Stream* s, Task task);
bool inside(CUdeviceptr p, size_t n);
CUresult read_image(const void* image, Module& module);    // fills in its functions
}  // namespace driver

#define API(...)                                                        \
    std::lock_guard<std::recursive_mutex> guard(driver::lock);          \
    if (int e = driver::enter(__func__ __VA_OPT__(, ) __VA_ARGS__)) return e
