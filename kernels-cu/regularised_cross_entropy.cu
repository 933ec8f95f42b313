// regularised_cross_entropy: loss = w·(−Σ q ln p + κ·Σ a (ln a − ln p)), dx = w·((1 + κ)·p − q − κ·a), with p = softmax(x), a =
// softmax(anchors) and q the return's projection (projection.cuh). A warp a row, four rows a block; an atom is a lane's own in every
// pass. dx may be x, or null for the loss alone.
// Floor: a read of both logits, the returns and the weights, a write of the losses and of dx.
// variants: none
#include "losses.cuh"
#include "projection.cuh"

extern "C" __global__ void __launch_bounds__(128) QS_NAME(regularised_cross_entropy)(
    const float* x, const float* anchors, const float* returns, const float* weights, float low, float range, int nearest, float kappa,
    float* losses, float* dx, int rows, int atoms) {
    int row = blockIdx.x * 4 + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= rows) return;
    x += (size_t)row * atoms;
    anchors += (size_t)row * atoms;
    dx = dx ? dx + (size_t)row * atoms : dx;
    float weight = weights[row];
    if (is_silent(weight, losses + row, dx, atoms, lane)) return;
    Projected target = project(returns[row], low, range, nearest, atoms);
    float top = -QS_INFINITY, anchorTop = -QS_INFINITY, sum = 0, anchorSum = 0, loss = 0;
    for (int i = lane; i < atoms; i += 32) {
        top = fmaxf(top, x[i]);
        anchorTop = fmaxf(anchorTop, anchors[i]);
    }
    top = warp_max(top);
    anchorTop = warp_max(anchorTop);
    for (int i = lane; i < atoms; i += 32) {
        sum += expf(x[i] - top);
        anchorSum += expf(anchors[i] - anchorTop);
    }
    sum = warp_sum(sum);
    anchorSum = warp_sum(anchorSum);
    float logSum = logf(sum), anchorLogSum = logf(anchorSum);
    for (int i = lane; i < atoms; i += 32) {
        float logP = x[i] - top - logSum, logA = anchors[i] - anchorTop - anchorLogSum, a = expf(logA), q = target.of(i);
        if (q != 0) loss -= q * logP;   // an atom without a share may be at −∞
        if (a != 0) loss += kappa * a * (logA - logP);
    }
    loss = warp_sum(loss);
    if (lane == 0) losses[row] = weight * loss;
    if (!dx) return;
    for (int i = lane; i < atoms; i += 32) {
        float p = expf(x[i] - top) / sum, a = expf(anchors[i] - anchorTop) / anchorSum;
        dx[i] = weight * ((1 + kappa) * p - target.of(i) - kappa * a);
    }
}
QS_KERNEL(regularised_cross_entropy)
