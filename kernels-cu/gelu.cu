// gelu: y = x/2 · (1 + tanh(u)) with u = √(2/π)(x + 0.044715 x³), the tanh form of GPT-2 (Hendrycks and Gimpel 2016),
// written as x·σ(2u), which takes one exponential and one division. gelu_backward: dx = dy · gelu′(x).
// Eight elements a thread. Floor: one read and one write of the tensor; backward two reads and one write.
// variants: T=float | T=bf16
#include "qs.cuh"

#define ROOT 0.7978845608f   // √(2/π)
#define CUBIC 0.044715f

__device__ __forceinline__ float gate(float x) {   // σ(2u)
    return 1 / (1 + __expf(-2 * ROOT * x * (1 + CUBIC * x * x)));
}

extern "C" __global__ void __launch_bounds__(256) QS_NAME(gelu)(const T* x, T* y, long long count) {
    long long at = 8 * ((long long)blockIdx.x * blockDim.x + threadIdx.x), left = count - at;
    if (left <= 0) return;
    bool wide = left >= 8 && aligned16(x, y);
    float v[8];
    load_part(v, x + at, wide, left);
    for (int i = 0; i < 8; i++) v[i] *= gate(v[i]);
    store_part(y + at, v, wide, left);
}
QS_KERNEL(gelu)

extern "C" __global__ void __launch_bounds__(256) QS_NAME(gelu_backward)(const T* dy, const T* x, T* dx, long long count) {
    long long at = 8 * ((long long)blockIdx.x * blockDim.x + threadIdx.x), left = count - at;
    if (left <= 0) return;
    bool wide = left >= 8 && aligned16(dy, x, dx);
    float g[8], v[8];
    load_part(g, dy + at, wide, left);
    load_part(v, x + at, wide, left);
    for (int i = 0; i < 8; i++) {
        float s = gate(v[i]), slope = 2 * ROOT * (1 + 3 * CUBIC * v[i] * v[i]);   // (2u)′
        g[i] *= s + v[i] * s * (1 - s) * slope;
    }
    store_part(dx + at, g, wide, left);
}
QS_KERNEL(gelu_backward)
