// atom_tilt: the tilt g of each candidate from its value logits: ln E[exp(λZ)] (Q♯, arXiv 2502.20548) or λ·E[Z], in the forms
// of tilt.cuh. Bernoulli: a thread a candidate, 128 a block; categorical: a warp a candidate, four a block.
// Floor: a read of the logits.
// variants: none
#include "tilt.cuh"

extern "C" __global__ void __launch_bounds__(128) QS_NAME(atom_tilt)(
    const float* logits, int tilt, int atoms, float low, float high, float lambda, float* g, int count, int perBlock) {
    Law law = {tilt, atoms, low, high, lambda, OUTSIDE_ZERO};
    int first = blockIdx.x * perBlock;
    tilts_of(logits + (size_t)first * atoms, min(perBlock, count - first), law, g + first);
}
QS_KERNEL(atom_tilt)
