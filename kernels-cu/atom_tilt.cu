// atom_tilt: the tilt g of each candidate from its value logits: ln E[exp(λZ)] (Q♯, arXiv 2502.20548), ln E[exp(h(Z))] or λ·E[Z],
// in the forms of tilt.cuh. Bernoulli: a thread a candidate, 128 a block; categorical: a warp a candidate, four a block. The
// second coordinate of the grid is the row of log-weights.
// Floor: a read of the logits.
// variants: none
#include "tilt.cuh"

extern "C" __global__ void __launch_bounds__(128) QS_NAME(atom_tilt)(
    const float* logits, int tilt, int atoms, float low, float high, float lambda, const float* weights, int weightStride, float* g,
    int perRow, int perBlock) {
    Law law = {tilt, atoms, low, high, lambda, OUTSIDE_ZERO, row_of(weights, weightStride, blockIdx.y)};
    int start = blockIdx.x * perBlock;
    size_t first = (size_t)blockIdx.y * perRow + start;
    tilts_of(logits + first * atoms, min(perBlock, perRow - start), law, g + first);
}
QS_KERNEL(atom_tilt)
