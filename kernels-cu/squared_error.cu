// squared_error: loss = w·(link(x) − t)², dx = 2w·(link(x) − t)·link′(x), link the identity (0) or σ (1); dx may be x, or null for
// the loss alone. One element a thread. σ(1 − σ) comes from e^(−|x|), since 1 − σ has no digits left where σ is nearly 1.
// Floor: a read of x, t and w, a write of the loss and of dx.
// variants: none
#include "losses.cuh"

extern "C" __global__ void __launch_bounds__(256) QS_NAME(squared_error)(
    const float* x, const float* targets, const float* weights, int link, float* losses, float* dx, int count) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    float value = x[i], weight = weights[i], slope = 1;
    if (is_silent(weight, losses + i, dx ? dx + i : dx, 1, 0)) return;
    if (link) {
        float e = expf(-fabsf(value)), most = 1 / (1 + e), least = e * most;
        value = value > 0 ? most : least;
        slope = most * least;
    }
    float error = value - targets[i];
    losses[i] = weight * error * error;
    if (dx) dx[i] = 2 * weight * error * slope;
}
QS_KERNEL(squared_error)
