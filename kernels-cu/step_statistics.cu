// step_statistics: what was drawn, said from whole laws: the token's slot among the candidates, and SampleStatistics of each row.
// KL(π ‖ q) and q's mass on π's support by one pass over both laws, the rest by look-up. A row a block, sums in double.
// Floor: a read of ln π and of ln q.
// variants: none
#include "tilt.cuh"

extern "C" __global__ void __launch_bounds__(1024) QS_NAME(step_statistics)(
    const float* logPolicy, const float* logReference, const float* logMass, const int* next, const int* candidates,
    const float* valueLogits, const float* weights, int weightStride, const float* g, const float* gOutside, const float* residual,
    int tilt, int atoms, float low, float high, float lambda, int tiltsFirst, float scale, int* chosen, float* statistics,
    int columns, int slots) {
    int row = blockIdx.x, token = next[row], slot = slots;
    for (int k = threadIdx.x; k < slots; k += blockDim.x)
        if (candidates[(size_t)row * slots + k] == token) slot = min(slot, k);
    slot = -block_max(-slot);
    if (slot == slots) slot = -1;
    if (chosen && threadIdx.x == 0) chosen[row] = slot;
    if (!statistics) return;
    const float* p = logPolicy + (size_t)row * columns;
    const float* q = logReference + (size_t)row * columns;
    bool wide = columns % 4 == 0 && aligned16(p, q);
    double kl = 0, mass = 0;
    for (int c = 4 * threadIdx.x; c < columns; c += 4 * blockDim.x) {
        float a[4], b[4], part = 0, weight = 0;
        load_part(a, p + c, wide, columns - c);
        load_part(b, q + c, wide, columns - c);
        for (int i = 0; i < 4; i++) {
            float policy = clean(a[i]), reference = clean(b[i]);
            if (c + i >= columns || policy == -QS_INFINITY) continue;
            part += expf(policy) * (policy - reference);
            weight += expf(reference);
        }
        kl += part;
        mass += weight;
    }
    kl = block_sum(kl);
    mass = block_sum(mass);
    if (threadIdx.x >= 32) return;
    Law law = {tilt, atoms, low, high, lambda, OUTSIDE_ZERO, row_of(weights, weightStride, row)};
    size_t at = (size_t)row * slots + slot;
    bool tilted = law.guided() && slot >= 0;
    Moments moments = {0, 0};
    if (tilted) moments = tilted_moments(valueLogits + at * atoms, law);
    if (threadIdx.x != 0) return;
    double log_support = tiltsFirst ? log(mass) : 0, log_reference = q[token] - log_support;
    float gain = !law.guided() ? 0 : tilted ? g[at] : gOutside[row], rest = law.guided() ? residual[row] : 0;
    float* result = statistics + (size_t)row * 9;   // SampleStatistics, column by column
    result[0] = p[token];
    result[1] = (float)log_reference;
    kl += log_support;
    result[2] = kl < 0 ? 0 : (float)kl;   // a NaN stays one
    result[3] = (float)(-log_support - (logMass ? logMass[row] : 0));
    result[4] = (float)(log_reference - p[token] + (double)gain * (tiltsFirst ? scale : 1));
    result[5] = rest;
    result[6] = rest == rest ? gain : rest;   // NaN where the tilt left no weight, so that nothing was tilted
    result[7] = (float)moments.mean;
    result[8] = (float)moments.variance;
}
QS_KERNEL(step_statistics)
