// full_tilt: the tilt g of every token from its value logits in tiles (tiles.cuh). blockIdx.x is the row, blockIdx.y a stretch of
// it, four tokens a thread. Floor: a read of the value logits and a write of g; the second pass over a tile's atoms hits L1.
// variants: none
#include "tiles.cuh"

extern "C" __global__ void __launch_bounds__(256) QS_NAME(full_tilt)(
    const float* values, const float* bias, int tilt, int atoms, float low, float high, float lambda, const float* weights,
    int weightStride, float* g, int columns, int tiles, int width) {
    Law law = {tilt, atoms, low, high, lambda, OUTSIDE_ZERO, row_of(weights, weightStride, blockIdx.x)};
    int token = 4 * (blockIdx.y * blockDim.x + threadIdx.x);
    if (token >= columns) return;
    float gains[4] = {};
    if (law.guided()) Tiles(values, bias, atoms, columns, tiles, width).tilts(token, law, gains);
    g += (size_t)blockIdx.x * columns + token;
    store_part(g, gains, columns - token >= 4 && aligned16(g), columns - token);
}
QS_KERNEL(full_tilt)
