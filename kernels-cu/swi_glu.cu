// swi_glu: y = silu(gate) · up with silu(g) = g·σ(g) (Shazeer 2020); a row holds `width` gates, then as many ups.
// swi_glu_backward: dgate = dy · up · (σ + silu·(1 − σ)), dup = dy · silu; dGateUp may be gateUp.
// blockIdx.x is the row, blockIdx.y a stretch of it; eight columns a thread.
// Floor: a read of gateUp and a write of y (half its size); backward the same, a read of dy and a write of dGateUp.
// variants: T=float | T=bf16
#include "qs.cuh"

__device__ __forceinline__ float sigmoid(float x) { return 1 / (1 + __expf(-x)); }

extern "C" __global__ void __launch_bounds__(256) QS_NAME(swi_glu)(const T* gate_up, T* y, int width) {
    int column = 8 * (blockIdx.y * blockDim.x + threadIdx.x), left = width - column;
    if (left <= 0) return;
    gate_up += (size_t)blockIdx.x * 2 * width + column;
    y += (size_t)blockIdx.x * width + column;
    bool wide = width % 8 == 0 && aligned16(gate_up, y);
    float gate[8], up[8];
    load_part(gate, gate_up, wide, left);
    load_part(up, gate_up + width, wide, left);
    for (int i = 0; i < 8; i++) up[i] *= gate[i] * sigmoid(gate[i]);
    store_part(y, up, wide, left);
}
QS_KERNEL(swi_glu)

extern "C" __global__ void __launch_bounds__(256) QS_NAME(swi_glu_backward)(const T* dy, const T* gate_up, T* d_gate_up, int width) {
    int column = 8 * (blockIdx.y * blockDim.x + threadIdx.x), left = width - column;
    if (left <= 0) return;
    dy += (size_t)blockIdx.x * width + column;
    gate_up += (size_t)blockIdx.x * 2 * width + column;
    d_gate_up += (size_t)blockIdx.x * 2 * width + column;
    bool wide = width % 8 == 0 && aligned16(dy, gate_up, d_gate_up);
    float g[8], gate[8], up[8];
    load_part(g, dy, wide, left);
    load_part(gate, gate_up, wide, left);
    load_part(up, gate_up + width, wide, left);
    for (int i = 0; i < 8; i++) {
        float s = sigmoid(gate[i]), silu = gate[i] * s;
        gate[i] = g[i] * up[i] * (s + silu * (1 - s));
        up[i] = g[i] * silu;
    }
    store_part(d_gate_up, gate, wide, left);
    store_part(d_gate_up + width, up, wide, left);
}
QS_KERNEL(swi_glu_backward)
