// bernoulli_cross_entropy: with r = clamp((return − low)/range), loss = w·(softplus(x) − r·x), dx = w·(σ(x) − r). One element a
// thread. All from |x| and the target of the less likely outcome c, so that a confident and right head keeps its digits:
// loss = c·|x| + log1p(e^(−|x|)), ±gradient = c − e/(1 + e).
// categorical_cross_entropy: loss = −w·Σ q ln softmax(x), dx = w·(softmax(x) − q), q the return's projection. A warp a row, four
// rows a block; an atom is a lane's own in every pass. dx may be x, or null for the loss alone.
// Floor: a read of the logits, the returns and the weights, a write of the losses and of dx.
// variants: none
#include "losses.cuh"
#include "projection.cuh"

extern "C" __global__ void __launch_bounds__(256) QS_NAME(bernoulli_cross_entropy)(
    const float* x, const float* returns, const float* weights, float low, float range, float* losses, float* dx, int count) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    float logit = x[i], weight = weights[i], r = (returns[i] - low) / range;
    if (is_silent(weight, losses + i, dx ? dx + i : dx, 1, 0)) return;
    r = r < 0 ? 0 : r > 1 ? 1 : r;   // NaN stays
    bool positive = logit > 0;
    float size = fabsf(logit), c = positive ? 1 - r : r, e = expf(-size);
    losses[i] = weight * ((c == 0 ? 0 : c * size) + log1pf(e));   // 0 · ∞ is 0 here
    if (!dx) return;
    float gradient = c - e / (1 + e);
    dx[i] = weight * (positive ? gradient : -gradient);
}
QS_KERNEL(bernoulli_cross_entropy)

extern "C" __global__ void __launch_bounds__(128) QS_NAME(categorical_cross_entropy)(
    const float* x, const float* returns, const float* weights, float low, float range, int nearest, float* losses, float* dx,
    int rows, int atoms) {
    int row = blockIdx.x * 4 + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= rows) return;
    x += (size_t)row * atoms;
    dx = dx ? dx + (size_t)row * atoms : dx;
    float weight = weights[row];
    if (is_silent(weight, losses + row, dx, atoms, lane)) return;
    Projected target = project(returns[row], low, range, nearest, atoms);
    float top = -QS_INFINITY, sum = 0, expected = 0;
    for (int i = lane; i < atoms; i += 32) top = fmaxf(top, x[i]);
    top = warp_max(top);
    for (int i = lane; i < atoms; i += 32) {
        sum += expf(x[i] - top);
        float q = target.of(i);
        if (q != 0) expected += q * (x[i] - top);   // an atom without a share may be at −∞
    }
    sum = warp_sum(sum);
    expected = warp_sum(expected);
    if (lane == 0) losses[row] = weight * (logf(sum) - expected);
    if (!dx) return;
    for (int i = lane; i < atoms; i += 32) dx[i] = weight / sum * expf(x[i] - top) - weight * target.of(i);
}
QS_KERNEL(categorical_cross_entropy)
