// sinkhorn_divergence: S = 2·Σ p_i (d_i − u_i), dx_i = w·p_i (2·(d_i − u_i) − S), with p = softmax(x), d_i = |z_i − R|^a and u the
// fixed point of u ← ½(u + T(u)), T(u)_i = −ε ln Σ_j p_j exp((u_j − |z_i − z_j|^a)/ε) (Sinkhorn; Sun et al., arXiv 2202.00769). Each
// iteration halves the error at least, so their number is fixed. A warp a row, four rows a block; costs by distance are shared by
// the block, ln p, u and the next u are a warp's own.
// Floor: a read of the logits, the returns and the weights, a write of the losses and of dx; arithmetic is iterations·A².
// variants: none
#include "losses.cuh"

extern "C" __global__ void __launch_bounds__(128) QS_NAME(sinkhorn_divergence)(
    const float* x, const float* returns, const float* weights, float low, float range, float epsilon, float power, int iterations,
    float* losses, float* dx, int rows, int atoms) {
    QS_DYN_SHARED(float, shared);   // costs | ln p, u, next u of each warp
    float step = range / (atoms - 1);
    for (int i = threadIdx.x; i < atoms; i += blockDim.x) shared[i] = powf(i * step, power);
    __syncthreads();
    int warp = threadIdx.x / 32, row = blockIdx.x * 4 + warp, lane = threadIdx.x % 32;
    if (row >= rows) return;
    float* logP = shared + atoms * (1 + 3 * warp);
    float* u = logP + atoms;
    float* next = u + atoms;
    x += (size_t)row * atoms;
    dx = dx ? dx + (size_t)row * atoms : dx;
    if (is_silent(weights[row], losses + row, dx, atoms, lane)) return;
    float weight = weights[row], value = returns[row], top = -QS_INFINITY, sum = 0;
    value = value < low ? low : value > low + range ? low + range : value;   // NaN stays
    for (int i = lane; i < atoms; i += 32) top = fmaxf(top, x[i]);
    top = warp_max(top);
    for (int i = lane; i < atoms; i += 32) sum += expf(x[i] - top);
    float logSum = logf(warp_sum(sum));
    for (int i = lane; i < atoms; i += 32) {
        logP[i] = x[i] - top - logSum;
        u[i] = 0;
    }
    __syncwarp();
    for (int iteration = 0; iteration < iterations; iteration++) {
        for (int i = lane; i < atoms; i += 32) {
            float largest = -QS_INFINITY, total = 0;
            for (int j = 0; j < atoms; j++) largest = fmaxf(largest, logP[j] + (u[j] - shared[i < j ? j - i : i - j]) / epsilon);
            for (int j = 0; j < atoms; j++) total += expf(logP[j] + (u[j] - shared[i < j ? j - i : i - j]) / epsilon - largest);
            next[i] = 0.5f * (u[i] - epsilon * (largest + logf(total)));
        }
        __syncwarp();
        float* last = u;
        u = next;
        next = last;
    }
    float loss = 0;
    for (int i = lane; i < atoms; i += 32) {
        next[i] = 2 * (powf(fabsf(low + i * step - value), power) - u[i]);
        loss += expf(logP[i]) * next[i];
    }
    loss = warp_sum(loss);
    if (lane == 0) losses[row] = weight * loss;
    if (!dx) return;
    for (int i = lane; i < atoms; i += 32) dx[i] = weight * expf(logP[i]) * (next[i] - loss);
}
QS_KERNEL(sinkhorn_divergence)
