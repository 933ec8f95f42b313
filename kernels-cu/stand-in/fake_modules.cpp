// fake_modules.cpp - the stand-in's kernels: an image names them and says what they need, a library that g++ built from the same
// source runs them. Both must agree on the parameters, so that host, card and stand-in cannot drift apart.
#include "fake_cuda.h"
#include "simt.h"
#include <algorithm>
#undef threadIdx
#undef blockIdx
#undef blockDim
#undef gridDim

namespace driver {
static const simt::KernelInfo* build_of(const Function& f) {
    const simt::KernelInfo* k = simt::options.checked ? f.entry.checked : f.entry.fast;
    if (!k) simt::say("no %s build of the kernel %s is loaded", simt::options.checked ? "checked" : "fast", f.name.c_str());
    return k;
}
static Function* function_of(void* handle) {
    for (Module* m : current->modules) for (auto& [name, f] : m->functions) if (&f == handle) return &f;
    return nullptr;
}
static int shared_of_multiprocessor() {
    int c = capability_major * 10 + capability_minor;
    return (c == 80 || c == 87 ? 164 : c == 86 || c == 89 || c == 120 ? 100 : 228) << 10;
}
static int blocks_per_multiprocessor(const Function& f, int threads, size_t dynamic) {
    int c = capability_major * 10 + capability_minor, warps = (threads + 31) / 32;
    bool small = c == 86 || c == 89 || c == 120;
    int blocks = std::min((small ? 1536 : 2048) / std::max(threads, 1), c == 86 ? 16 : small ? 24 : 32);
    if (f.registers) blocks = std::min(blocks, 65536 / ((f.registers * 32 + 255) / 256 * 256 * warps));
    return std::min(blocks, shared_of_multiprocessor() / (f.static_shared + (int)dynamic + 1024));
}
static CUresult refuse(const Function& f, CUresult e, const char* why) { simt::say("%s: %s", f.name.c_str(), why); return e; }
}  // namespace driver
using namespace driver;

extern "C" {
CUresult cuModuleLoadDataEx(void** out, const void* image, unsigned, int*, void**) {
    API();
    auto m = std::make_unique<Module>();
    if (int e = read_image(image, *m)) return e;
    current->modules.insert(m.get());
    *out = m.release();
    return OK;
}
CUresult cuModuleUnload(void* m) {
    API();
    if (!current->modules.erase((Module*)m)) return INVALID_HANDLE;
    delete (Module*)m;
    return OK;
}
CUresult cuModuleGetFunction(void** out, void* module, const char* name) {
    API();
    Module* m = (Module*)module;
    if (!current->modules.count(m)) return INVALID_HANDLE;
    auto i = m->functions.find(name);
    if (i == m->functions.end()) { simt::say("the image has no kernel %s", name); return NOT_FOUND; }
    Function& f = i->second;
    simt::KernelEntry* entry = simt::find_kernel(f.name);
    f.entry = entry ? *entry : simt::KernelEntry{};
    const simt::KernelInfo* k = build_of(f);
    if (!k) return NOT_FOUND;
    size_t offset = 0;
    bool same = (int)f.parameters.size() == k->params;
    for (int p = 0; same && p < k->params; p++) {
        offset = (offset + k->aligns[p] - 1) / k->aligns[p] * k->aligns[p];
        same = f.parameters[(size_t)p].size == k->sizes[p] && f.parameters[(size_t)p].offset == offset;
        offset += k->sizes[p];
    }
    if (!same) return refuse(f, INVALID_IMAGE, "the parameters of the image and of the C++ build differ");
    *out = &f;
    return OK;
}
CUresult cuFuncGetAttribute(int* v, int attribute, void* function) {
    API();
    Function* f = function_of(function);
    if (!f) return INVALID_HANDLE;
    switch (attribute) {
        case 0: *v = f->max_threads; break;
        case 1: *v = f->static_shared; break;
        case 2: *v = 0; break;                             // constant memory of its own
        case 3: *v = f->local; break;
        case 4: *v = f->registers; break;
        case 5: case 6: *v = capability_major * 10 + capability_minor; break;
        case 8: *v = f->dynamic_limit; break;
        case 7: case 9: *v = 0; break;                     // caching, carve-out
        default: return INVALID_VALUE;
    }
    return OK;
}
CUresult cuFuncSetAttribute(void* function, int attribute, int v) {
    API();
    Function* f = function_of(function);
    if (!f) return INVALID_HANDLE;
    if (attribute != 8) return attribute == 9 ? OK : INVALID_VALUE;
    if (v < 0 || v + f->static_shared > shared_of_multiprocessor() - 1024)
        return refuse(*f, INVALID_VALUE, "more shared memory than a block can have");
    f->dynamic_limit = v;
    return OK;
}
CUresult cuFuncGetParamInfo(void* function, size_t index, size_t* offset, size_t* size) {
    API();
    Function* f = function_of(function);
    if (!f) return INVALID_HANDLE;
    if (index >= f->parameters.size()) return INVALID_VALUE;
    *offset = f->parameters[index].offset;
    if (size) *size = f->parameters[index].size;
    return OK;
}
CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* n, void* function, int threads, size_t dynamic) {
    API();
    Function* f = function_of(function);
    if (!f) return INVALID_HANDLE;
    if (threads < 1) return INVALID_VALUE;
    *n = std::max(0, blocks_per_multiprocessor(*f, threads, dynamic));
    return OK;
}
CUresult cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
                        void* stream, void** parameters, void** extra) {
    API();
    Function* f = function_of(function);
    if (!f) return INVALID_HANDLE;
    if (extra || (!f->parameters.empty() && !parameters)) return INVALID_VALUE;
    size_t threads = (size_t)bx * by * bz;
    if (!gx || !gy || !gz || gx > 2147483647u || gy > 65535 || gz > 65535) return refuse(*f, INVALID_VALUE, "a grid that no card takes");
    if (!threads || bx > 1024 || by > 1024 || bz > 64 || threads > 1024) return refuse(*f, INVALID_VALUE, "a block that no card takes");
    if ((int)threads > f->max_threads) return refuse(*f, INVALID_VALUE, "more threads than its __launch_bounds__");
    if ((int)shared > f->dynamic_limit)
        return refuse(*f, INVALID_VALUE, "more shared memory than it was given by cuFuncSetAttribute (48 KiB unasked, static memory included)");
    if (f->registers && blocks_per_multiprocessor(*f, (int)threads, shared) < 1)
        return refuse(*f, LAUNCH_OUT_OF_RESOURCES, "more registers than there are");
    const simt::KernelInfo* now = build_of(*f);
    if (!now) return NOT_FOUND;
    struct Launch {                                        // arguments are copied now, as the driver does
        std::vector<char> bytes;
        std::vector<void*> pointers;
    };
    auto launch = std::make_shared<Launch>();
    launch->bytes.resize(f->parameters.empty() ? 0 : f->parameters.back().offset + f->parameters.back().size);
    for (size_t i = 0; i < f->parameters.size(); i++) {
        launch->pointers.push_back(launch->bytes.data() + f->parameters[i].offset);
        memcpy(launch->pointers[i], parameters[i], f->parameters[i].size);
    }
    simt::KernelEntry entry = f->entry;
    return enqueue(stream_of(stream), {[=]() -> CUresult {
        const simt::KernelInfo* k = simt::options.checked ? entry.checked : entry.fast;
        if (!k) { simt::say("the mode changed between launch and run of %s", now->name); return LAUNCH_FAILED; }
        unsigned grid[3] = {gx, gy, gz}, block[3] = {bx, by, bz};
        switch (simt::launch(*k, grid, block, shared, launch->pointers.data())) {
            case simt::Fault::None: return OK;
            case simt::Fault::IllegalAddress: return ILLEGAL_ADDRESS;
            case simt::Fault::Misaligned: return MISALIGNED_ADDRESS;
            case simt::Fault::Trap: return ILLEGAL_INSTRUCTION;
            default: return LAUNCH_FAILED;
        }
    }, {}, {}});
}
}
