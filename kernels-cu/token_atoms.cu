// token_atoms: y[b, a] = the value logit of atom a of row b's token, from tiles (tiles.cuh), its bias added. A thread an element.
// variants: none
#include "qs.cuh"

extern "C" __global__ void __launch_bounds__(128) QS_NAME(token_atoms)(
    const float* values, const float* bias, const int* tokens, float* y, int count, int atoms, int tiles, int width) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    int row = i / atoms, a = i % atoms, token = tokens[row];
    size_t tile = (size_t)row * tiles + token / width;
    y[i] = values[(tile * atoms + a) * width + token % width] + (bias ? bias[i] : 0);
}
QS_KERNEL(token_atoms)
