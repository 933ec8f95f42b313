// adam_w: Adam with decoupled weight decay (Loshchilov and Hutter 2019), in one pass, four elements a thread. With g the
// clipped gradient: m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², w ← w − lr · (m̂ / (√v̂ + ε) + decay · w). `rounded`, where
// it is not null, receives the new w as bf16: to nearest, or, if is_stochastic, up with the probability of the part that is
// cut off (Gupta et al. 2015), by the Philox block (element / 4, step); schedule = (lr, 1 − β₁ᵗ, 1 − β₂ᵗ, t) lies in device
// memory, so a replayed graph draws anew. Floor: 28 bytes an element, 30 with rounded.
// variants: none
#include "qs.cuh"

#define ROUNDING_KEY 0x646E756F72ull   // a stream of its own

// w as bf16, up or down by 16 random bits; what is not finite stays as it is.
__device__ __forceinline__ bf16 round_by(float w, unsigned random) {
    unsigned bits = __float_as_uint(w);
    if ((bits & 0x7f800000u) == 0x7f800000u) return to_bf16(w);
    bf16 result;
    result.bits = (unsigned short)((bits + (random & 0xffffu)) >> 16);
    return result;
}

extern "C" __global__ void __launch_bounds__(256) QS_NAME(adam_w)(
    float* weights, const float* gradients, float* m, float* v, long long count, float beta1, float beta2, float epsilon, float decay,
    const float* schedule, const float* clip, bf16* rounded, int is_stochastic) {
    long long at = 4 * ((long long)blockIdx.x * blockDim.x + threadIdx.x), left = count - at;
    if (left <= 0) return;
    bool wide = left >= 4 && aligned16(weights, gradients, m, v, rounded);
    float w[4], g[4], mean[4], square[4];
    load_part(w, weights + at, wide, left);
    load_part(g, gradients + at, wide, left);
    load_part(mean, m + at, wide, left);
    load_part(square, v + at, wide, left);
    float rate = schedule[0], step_size = rate / schedule[1], root_scale = 1 / sqrtf(schedule[2]), factor = clip ? clip[1] : 1;
    for (int i = 0; i < 4; i++) {
        float gradient = factor == 0 ? 0 : g[i] * factor;   // 0 for gradients that are not finite as well
        mean[i] = beta1 * mean[i] + (1 - beta1) * gradient;
        square[i] = beta2 * square[i] + (1 - beta2) * gradient * gradient;
        w[i] -= mean[i] / (sqrtf(square[i]) * root_scale + epsilon) * step_size + rate * decay * w[i];
    }
    store_part(weights + at, w, wide, left);
    store_part(m + at, mean, wide, left);
    store_part(v + at, square, wide, left);
    if (!rounded) return;
    if (!is_stochastic) {
        store_part(rounded + at, w, wide, left);
        return;
    }
    long long block = at / 4;
    uint4 random = philox(ROUNDING_KEY, (unsigned)block, (unsigned)(block >> 32), (unsigned)schedule[3], 0);
    unsigned words[4] = {random.x, random.y, random.z, random.w};
    for (int i = 0; i < 4 && i < left; i++) rounded[at + i] = round_by(w[i], words[i]);
}
QS_KERNEL(adam_w)
