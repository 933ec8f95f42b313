// simt_host.h - what the fake driver (or a test) needs of the runtime: device memory, launch, report.
#pragma once
#include <cstddef>
#include <cstdint>
namespace simt {
struct KernelInfo;
const KernelInfo* find_kernel(const char* name);
extern bool use_checked, load_checked;

enum class Fault { None, IllegalAddress, Misaligned, Sync, Race, Uninitialised, Config };
struct Options {
    unsigned seed = 0;            // 0: lanes in order; otherwise a random schedule, the same for the same seed
    bool races = true, uninit = true;
    size_t shared_limit = 227 * 1024;
};
extern Options options;
extern char report[2048];         // one paragraph about the last fault

void* device_alloc(size_t bytes); // 256-byte aligned, red zones on both sides; nullptr when the arena is full
bool device_free(void* p);
size_t device_range(const void* p);        // bytes from p to the end of its allocation; 0 if p is in none
void device_written(void* p, size_t n);    // host wrote these bytes: they count as initialised
void device_lock(bool locked);    // locked: the host cannot touch device memory, as on a real GPU (it faults)
size_t device_in_use();

Fault launch(const KernelInfo& k, const unsigned grid[3], const unsigned block[3], size_t shared_bytes, void** args);
}
