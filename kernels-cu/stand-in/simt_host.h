// simt_host.h - what the driver needs of the runtime: device memory, kernels by name, launches, and the report of a fault.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string>

namespace simt {
struct KernelInfo;

// A kernel's two builds. An entry lives for ever and is filled by loading a library; loading another one replaces it.
struct KernelEntry { const KernelInfo *fast = nullptr, *checked = nullptr; };
KernelEntry* find_kernel(const std::string& name);          // nullptr if no library ever held it
bool load_library(const char* path, bool checked);          // false: see the report

enum class Fault { None, IllegalAddress, Misaligned, Sync, Race, Uninitialised, Trap };
struct Options {
    unsigned seed = 0;            // 0: lanes in order; otherwise a random schedule, the same for the same seed
    bool checked = false;         // which builds run, and whether memory is shadowed
};
extern Options options;
extern char report[2048];         // one paragraph about the last fault
void say(const char* format, ...) __attribute__((format(printf, 1, 2)));   // writes the report

void* device_alloc(size_t bytes); // 256-byte aligned, NaN, a closed page on both sides; nullptr when the arena is full
bool device_free(void* p);        // closes the memory for good: its address is not given out again
size_t device_size(const void* p);         // bytes of the allocation that begins at p; 0 if none does
size_t device_range(const void* p);        // bytes from p to the end of its allocation; 0 if p is in none
void device_written(void* p, size_t n);    // the driver wrote these bytes
const void* device_unwritten(const void* p, size_t n);   // first of these bytes that nothing wrote, in checked mode; else nullptr
void device_copied(void* to, const void* from, size_t n);   // what was unwritten stays so in the copy
void device_rewind();             // with no allocation left: begin again
void set_checked(bool checked);
struct Open { Open(); ~Open(); }; // while one lives the process may touch device memory; closed otherwise in checked mode

Fault launch(const KernelInfo& k, const unsigned grid[3], const unsigned block[3], size_t shared_bytes, void** args);
}  // namespace simt
