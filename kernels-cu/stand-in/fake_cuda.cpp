// fake_cuda.cpp - a stand-in libcuda: contexts, memory, streams, events and graphs.
//  * Streams queue; work runs when something waits for it, so that a missing synchronisation shows.
//  * A call from a thread without a current context is refused; a fault on the card stays until its context is released.
//  * In checked mode device memory is closed to the process except inside these calls, so a read of a device pointer faults.
#include "fake_cuda.h"
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <pthread.h>

namespace driver {
std::recursive_mutex lock;
std::vector<std::unique_ptr<Context>> contexts;
thread_local Context* current;
static std::set<void*> pinned;
static double clock_ms;                                    // simulated: a millisecond a task

Stream* stream_of(void* s) {
    if (s == nullptr || s == (void*)1 || s == (void*)2) return &current->null_stream;
    for (auto& c : contexts) if (c && c->streams.count((Stream*)s)) return (Stream*)s;
    return nullptr;
}
static Event* event_of(void* e) {
    for (auto& c : contexts) if (c && c->events.count((Event*)e)) return (Event*)e;
    return nullptr;
}
static Graph* graph_of(void* g) { return current->graphs.count((Graph*)g) ? (Graph*)g : nullptr; }

// Runs a stream's work in order, until a record if one is given. Work of another stream that it waits for runs first.
static CUresult drain(Stream* s, const Record* until = nullptr) {
    simt::Open open;
    while (!s->queue.empty() && !(until && until->done)) {
        Task t = std::move(s->queue.front());
        s->queue.pop_front();
        if (t.waits_for && !t.waits_for->done && t.waits_for->stream && t.waits_for->stream != s)
            if (int e = drain(t.waits_for->stream, t.waits_for.get())) return e;
        if (t.run)
            if (int e = t.run()) {
                s->queue.clear();
                return s->context->sticky = e;
            }
        clock_ms += 1;
        if (t.signals) { t.signals->done = true; t.signals->time = clock_ms; }
    }
    return OK;
}
static CUresult drain_all(Context& c, bool blocking_only = false) {
    for (Stream* s : c.streams) if (s->blocking || !blocking_only) if (int e = drain(s)) return e;
    return drain(&c.null_stream);
}
CUresult enqueue(Stream* s, Task task) {
    if (!s) return INVALID_HANDLE;
    if (s->capture) {
        if (s->invalidated) return STREAM_CAPTURE_INVALIDATED;
        s->capture->tasks.push_back(std::move(task));
        return OK;
    }
    s->queue.push_back(std::move(task));
    return s == &s->context->null_stream ? drain_all(*s->context, true) : OK;   // the legacy default stream waits for the others
}
CUresult unsafe_in_capture() {
    bool met = false;
    for (Stream* s : current->streams)
        if (s->capture && (!s->is_captured_by_thread || s->thread == (unsigned long long)pthread_self())) s->invalidated = met = true;
    return met ? STREAM_CAPTURE_UNSUPPORTED : OK;
}
bool inside(CUdeviceptr p, size_t n) { return n == 0 || simt::device_range((void*)p) >= n; }
static void release(Context& c) {
    for (auto& [p, n] : c.memory) simt::device_free((void*)p);
    for (Stream* s : c.streams) delete s;
    for (Event* e : c.events) delete e;
    for (Module* m : c.modules) delete m;
    for (Graph* g : c.graphs) delete g;
    c.memory.clear(); c.streams.clear(); c.events.clear(); c.modules.clear(); c.graphs.clear();
    c.null_stream.queue.clear();
    c.in_use = 0;
    c.sticky = 0;
}
static Context& context_of(CUdevice d) {
    if (contexts.size() <= (size_t)d) contexts.resize((size_t)d + 1);
    std::unique_ptr<Context>& c = contexts[(size_t)d];
    if (!c) { c = std::make_unique<Context>(); c->null_stream.context = c.get(); }
    return *c;
}
static bool is_device(CUdevice d) { return d >= 0 && d < device_count; }
static CUresult illegal(const char* what) {                // found when the work runs, as on a card
    simt::say("%s reaches memory that is not, or no longer, allocated", what);
    return ILLEGAL_ADDRESS;
}
}  // namespace driver
using namespace driver;

extern "C" {
// =============================================================================================== contexts
CUresult cuDevicePrimaryCtxRetain(void** context, CUdevice d) {
    API(false);
    if (!is_device(d)) return INVALID_DEVICE;
    Context& c = context_of(d);
    c.retained++;
    *context = &c;
    return OK;
}
CUresult cuDevicePrimaryCtxRelease_v2(CUdevice d) {
    API(false);
    if (!is_device(d)) return INVALID_DEVICE;
    Context& c = context_of(d);
    if (!c.retained) return INVALID_CONTEXT;
    if (--c.retained == 0) release(c);
    return OK;
}
CUresult cuCtxSetCurrent(void* context) {
    API(false);
    Context* chosen = nullptr;
    for (auto& c : contexts) if (c.get() == context) chosen = c.get();
    if (context && (!chosen || !chosen->retained)) return INVALID_CONTEXT;
    current = chosen;
    return OK;
}
CUresult cuCtxGetCurrent(void** context) { API(false); *context = current; return OK; }
CUresult cuCtxSynchronize() {
    API();
    if (int e = unsafe_in_capture()) return e;
    return drain_all(*current);
}

// =============================================================================================== memory
CUresult cuMemAlloc_v2(CUdeviceptr* p, size_t n) {
    API();
    if (int e = unsafe_in_capture()) return e;
    if (!n) return INVALID_VALUE;
    if (n > total_memory || current->in_use + n > total_memory) return OUT_OF_MEMORY;
    void* m = simt::device_alloc(n);
    if (!m) { simt::say("the stand-in has no addresses left for %zu bytes", n); return OUT_OF_MEMORY; }
    *p = (CUdeviceptr)m;
    current->memory[*p] = n;
    current->in_use += n;
    return OK;
}
CUresult cuMemFree_v2(CUdeviceptr p) {
    API();
    if (int e = unsafe_in_capture()) return e;
    if (!p) return OK;
    auto i = current->memory.find(p);
    if (i == current->memory.end()) return INVALID_VALUE;
    if (int e = drain_all(*current)) return e;
    current->in_use -= i->second;
    current->memory.erase(i);
    simt::device_free((void*)p);
    return OK;
}
CUresult cuMemGetInfo_v2(size_t* free_, size_t* total) {
    API();
    *total = total_memory;
    *free_ = total_memory - std::min(total_memory, current->in_use);
    return OK;
}
CUresult cuMemHostAlloc(void** p, size_t n, unsigned) {
    API();
    if (int e = unsafe_in_capture()) return e;
    if (!n) return INVALID_VALUE;
    *p = aligned_alloc(4096, (n + 4095) / 4096 * 4096);
    if (!*p) return OUT_OF_MEMORY;
    memset(*p, 0xff, n);
    pinned.insert(*p);
    return OK;
}
CUresult cuMemFreeHost(void* p) {
    API();
    if (!pinned.count(p)) return INVALID_VALUE;
    if (int e = drain_all(*current)) return e;
    pinned.erase(p);
    free(p);
    return OK;
}
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr d, const void* s, size_t n, void* st) {
    API();
    if (!inside(d, n)) return INVALID_VALUE;
    return enqueue(stream_of(st), {[=] {
        if (!inside(d, n)) return illegal("a copy to the card");
        memcpy((void*)d, s, n);
        simt::device_written((void*)d, n);
        return (CUresult)OK;
    }, {}, {}});
}
CUresult cuMemcpyDtoHAsync_v2(void* d, CUdeviceptr s, size_t n, void* st) {
    API();
    if (!inside(s, n)) return INVALID_VALUE;
    return enqueue(stream_of(st), {[=] {
        if (!inside(s, n)) return illegal("a copy from the card");
        memcpy(d, (void*)s, n);
        return (CUresult)OK;
    }, {}, {}});
}
CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr d, CUdeviceptr s, size_t n, void* st) {
    API();
    if (!inside(s, n) || !inside(d, n)) return INVALID_VALUE;
    return enqueue(stream_of(st), {[=] {
        if (!inside(s, n) || !inside(d, n)) return illegal("a copy on the card");
        memmove((void*)d, (void*)s, n);
        simt::device_copied((void*)d, (void*)s, n);
        return (CUresult)OK;
    }, {}, {}});
}
CUresult cuMemsetD8Async(CUdeviceptr d, unsigned char v, size_t n, void* st) {
    API();
    if (!inside(d, n)) return INVALID_VALUE;
    return enqueue(stream_of(st), {[=] {
        if (!inside(d, n)) return illegal("a memset");
        memset((void*)d, v, n);
        simt::device_written((void*)d, n);
        return (CUresult)OK;
    }, {}, {}});
}
CUresult cuMemsetD32Async(CUdeviceptr d, unsigned v, size_t n, void* st) {
    API();
    if (d % 4 || !inside(d, n * 4)) return INVALID_VALUE;
    return enqueue(stream_of(st), {[=] {
        if (!inside(d, n * 4)) return illegal("a memset");
        std::fill_n((unsigned*)d, n, v);
        simt::device_written((void*)d, n * 4);
        return (CUresult)OK;
    }, {}, {}});
}

// =============================================================================================== streams and events
CUresult cuStreamCreate(void** s, unsigned flags) {
    API();
    if (flags > 1) return INVALID_VALUE;
    auto* x = new Stream;
    x->context = current;
    x->blocking = flags == 0;
    current->streams.insert(x);
    *s = x;
    return OK;
}
CUresult cuStreamDestroy_v2(void* s) {
    API();
    Stream* x = (Stream*)s;
    if (!current->streams.count(x)) return INVALID_HANDLE;
    int e = drain(x);
    current->streams.erase(x);
    for (Event* event : current->events) if (event->last && event->last->stream == x) event->last->stream = nullptr;
    delete x;
    return e;
}
CUresult cuStreamSynchronize(void* s) {
    API();
    Stream* x = stream_of(s);
    if (!x) return INVALID_HANDLE;
    if (x->capture) { x->invalidated = true; return STREAM_CAPTURE_UNSUPPORTED; }
    return drain(x);
}
CUresult cuStreamQuery(void* s) {
    API();
    Stream* x = stream_of(s);
    if (!x) return INVALID_HANDLE;
    if (x->capture) { x->invalidated = true; return STREAM_CAPTURE_UNSUPPORTED; }
    return x->queue.empty() ? OK : NOT_READY;
}
CUresult cuStreamWaitEvent(void* s, void* e, unsigned) {
    API();
    Event* x = event_of(e);
    if (!x) return INVALID_HANDLE;
    return x->last ? enqueue(stream_of(s), {{}, x->last, {}}) : OK;
}
CUresult cuEventCreate(void** e, unsigned) { API(); auto* x = new Event; current->events.insert(x); *e = x; return OK; }
CUresult cuEventDestroy_v2(void* e) { API(); if (!current->events.erase((Event*)e)) return INVALID_HANDLE; delete (Event*)e; return OK; }
CUresult cuEventRecord(void* e, void* s) {
    API();
    Event* x = event_of(e);
    Stream* st = stream_of(s);
    if (!x || !st) return INVALID_HANDLE;
    auto record = std::make_shared<Record>();
    record->stream = st;
    if (int r = enqueue(st, {{}, {}, record})) return r;
    x->last = record;
    return OK;
}
CUresult cuEventQuery(void* e) { API(); Event* x = event_of(e); return !x ? INVALID_HANDLE : !x->last || x->last->done ? OK : NOT_READY; }
CUresult cuEventSynchronize(void* e) {
    API();
    Event* x = event_of(e);
    if (!x) return INVALID_HANDLE;
    if (!x->last || x->last->done || !x->last->stream) return OK;
    if (x->last->stream->capture) { x->last->stream->invalidated = true; return STREAM_CAPTURE_UNSUPPORTED; }
    std::shared_ptr<Record> record = x->last;
    return drain(record->stream, record.get());
}
CUresult cuEventElapsedTime(float* ms, void* a, void* b) {
    API();
    Event *x = event_of(a), *y = event_of(b);
    if (!x || !y || !x->last || !y->last) return INVALID_HANDLE;
    if (!x->last->done || !y->last->done) return NOT_READY;
    *ms = (float)(y->last->time - x->last->time);
    return OK;
}

// =============================================================================================== graphs
CUresult cuStreamBeginCapture_v2(void* s, int mode) {
    API();
    Stream* x = (Stream*)s;
    if (!current->streams.count(x) || x->capture || mode < 0 || mode > 2) return INVALID_VALUE;
    x->capture = std::make_unique<Graph>();
    x->invalidated = false;
    x->is_captured_by_thread = mode != 0;
    x->thread = mode == 2 ? 0 : (unsigned long long)pthread_self();   // 2: no call is unsafe
    return OK;
}
CUresult cuStreamEndCapture(void* s, void** graph) {
    std::lock_guard<std::recursive_mutex> guard(lock);
    *graph = nullptr;
    Stream* x = (Stream*)s;
    bool captures = current && current->streams.count(x) && x->capture;
    std::unique_ptr<Graph> captured = captures ? std::move(x->capture) : nullptr;   // a failure ends the capture as well
    if (int e = enter(__func__)) return e;
    if (!captures) return INVALID_VALUE;
    if (x->invalidated) return STREAM_CAPTURE_INVALIDATED;
    current->graphs.insert(captured.get());
    *graph = captured.release();
    return OK;
}
CUresult cuGraphInstantiateWithFlags(void** executable, void* graph, unsigned long long) {
    API();
    Graph* g = graph_of(graph);
    if (!g) return INVALID_VALUE;
    auto* x = new Graph(*g);
    current->graphs.insert(x);
    *executable = x;
    return OK;
}
CUresult cuGraphLaunch(void* executable, void* s) {
    API();
    Graph* g = graph_of(executable);
    if (!g) return INVALID_VALUE;
    for (Task t : g->tasks) if (int e = enqueue(stream_of(s), std::move(t))) return e;
    return OK;
}
CUresult cuGraphDestroy(void* g) {
    API();
    if (!graph_of(g)) return INVALID_VALUE;
    current->graphs.erase((Graph*)g);
    delete (Graph*)g;
    return OK;
}
CUresult cuGraphExecDestroy(void* g) {
    API();
    if (!graph_of(g)) return INVALID_VALUE;
    current->graphs.erase((Graph*)g);
    delete (Graph*)g;
    return OK;
}
}
