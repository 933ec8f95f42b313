// tilt.cuh - the arithmetic of tilts that the fused op and the naive chain share, as Tilts.cs has it: the tilt of a candidate,
// the tilt of the tokens outside and the residual, the tilted moments. Sums over candidates are in double: they are few.
#pragma once
#include "rows.cuh"

enum { TILT_NONE, TILT_LOG_MEAN_EXP, TILT_MEAN, TILT_WEIGHTED };                              // Tilt
enum { OUTSIDE_MARTINGALE, OUTSIDE_ZERO, OUTSIDE_MIN, OUTSIDE_TRUNCATE, OUTSIDE_MEAN };       // Outside

// The family has one logit (Bernoulli) where atoms is 1, else `atoms` evenly spaced returns from low to high. `weights` has the
// log-weight of each return, two for Bernoulli, where the tilt is weighted; it is null where the log-weight is λz.
struct Law {
    int tilt, atoms;
    float low, high, lambda;
    int outside;
    const float* weights;
    __device__ __forceinline__ bool guided() const { return weights || (tilt != TILT_NONE && lambda != 0); }
    __device__ __forceinline__ float step() const { return (high - low) / (atoms - 1); }
    // A logit raised by its return's log-weight; λz is counted from low.
    __device__ __forceinline__ float raised(float x, int i) const { return weights ? x + weights[i] : x + i * (lambda * step()); }
    __device__ __forceinline__ double raised_double(double x, int i) const {
        return weights ? x + weights[i] : x + i * ((double)lambda * step());
    }
    __device__ __forceinline__ float origin() const { return weights ? 0 : lambda * low; }
};
__device__ __forceinline__ const float* row_of(const float* weights, int stride, int row) {
    return weights ? weights + (size_t)row * stride : weights;
}

// A NaN is the highest, as .NET's Math.Max has it: what is not a number must not vanish.
struct Highest { template <class T> __device__ __forceinline__ T operator()(T a, T b) const { return a > b || a != a ? a : b; } };
__device__ __forceinline__ double block_highest(double v) { return block_reduce(v, Highest{}); }

// origin + softplus(x + d) − softplus(x) for two log-weights, as a difference of hinges plus one of numbers in [0, ln 2]; or λ·E[Z].
// λz: origin λ·low, d = λ(high − low). A table counts from the larger one, so that neither −∞ nor cancellation is in the way.
__device__ __forceinline__ float tilt_of_logit(float x, const Law& law) {
    float d = law.lambda * (law.high - law.low), origin = law.lambda * law.low;
    if (law.tilt == TILT_MEAN) {
        float e = expf(-fabsf(x));
        return origin + (x > 0 ? 1 / (1 + e) : e / (1 + e)) * d;
    }
    if (law.weights) {
        bool rises = law.weights[1] > law.weights[0];
        origin = law.weights[rises];
        d = origin > -QS_INFINITY ? law.weights[!rises] - origin : 0;
        if (rises) x = -x;
    }
    float shifted = x + d, hinges = fminf(x, shifted) > 0 ? d : fmaxf(shifted, 0) - fmaxf(x, 0);
    return origin + (hinges + (log1pf(expf(-fabsf(shifted))) - log1pf(expf(-fabsf(x)))));
}

// LSE(x + h) − LSE(x), or λ·Σ softmax(x)·z, of a token's atoms: first the highest of both, then the sums; λz is counted from low.
struct AtomSums {
    float top = -QS_INFINITY, tilted_top = -QS_INFINITY, sum = 0, tilted = 0;   // tilted: Σ a·p for the mean
    __device__ __forceinline__ void raise(float x, int a, const Law& law) {
        top = fmaxf(top, x);
        tilted_top = fmaxf(tilted_top, law.raised(x, a));
    }
    __device__ __forceinline__ void add(float x, int a, const Law& law) {
        float weight = expf(x - top);
        sum += weight;
        tilted += law.tilt == TILT_MEAN ? weight * a : expf(law.raised(x, a) - tilted_top);
    }
    __device__ __forceinline__ float tilt(const Law& law) const {
        if (law.tilt == TILT_MEAN) return law.origin() + law.lambda * law.step() * (tilted / sum);
        if (tilted_top == -QS_INFINITY) return tilted_top;   // no return that the token can give has weight
        return law.origin() + (tilted_top - top + logf(tilted / sum));
    }
};

// The same by a full warp, which shares the atoms.
template <class Logits> __device__ __forceinline__ float tilt_of_atoms(Logits x, const Law& law) {
    AtomSums sums;
    for (int i = threadIdx.x % 32; i < law.atoms; i += 32) sums.raise(x[i], i, law);
    sums.top = warp_max(sums.top);
    sums.tilted_top = warp_max(sums.tilted_top);
    for (int i = threadIdx.x % 32; i < law.atoms; i += 32) sums.add(x[i], i, law);
    sums.sum = warp_sum(sums.sum);
    sums.tilted = warp_sum(sums.tilted);
    return sums.tilt(law);
}

// The tilts of `count` candidates from their [count, atoms] value logits, by a block: a thread a logit, or a warp a candidate.
__device__ __forceinline__ void tilts_of(const float* logits, int count, const Law& law, float* g) {
    if (law.atoms == 1)
        for (int k = threadIdx.x; k < count; k += blockDim.x) g[k] = law.guided() ? tilt_of_logit(logits[k], law) : 0;
    else
        for (int k = threadIdx.x / 32; k < count; k += blockDim.x / 32) {
            float tilt = law.guided() ? tilt_of_atoms(logits + (size_t)k * law.atoms, law) : 0;
            if (threadIdx.x % 32 == 0) g[k] = tilt;
        }
}

// Mean and variance of Z under p·exp(h) for one candidate's value logits, by a full warp; 0 and 0 where that law has no weight.
struct Moments { double mean, variance; };
template <class Logits> __device__ __forceinline__ Moments tilted_moments(Logits x, const Law& law) {
    double range = (double)law.high - law.low;
    if (law.atoms == 1) {
        double logit = x[0] + (law.weights ? (double)law.weights[1] - law.weights[0] : law.lambda * range);
        if (logit != logit) return {0, 0};
        double e = exp(-fabs(logit)), p = (logit >= 0 ? 1 : e) / (1 + e);
        return {law.low + range * p, range * range * e / ((1 + e) * (1 + e))};
    }
    int lane = threadIdx.x % 32;
    double top = -QS_INFINITY, sum = 0, first = 0, second = 0;
    for (int i = lane; i < law.atoms; i += 32) top = fmax(top, law.raised_double(x[i], i));
    for (int d = 16; d; d >>= 1) top = fmax(top, __shfl_xor_sync(FULL_WARP, top, d));
    if (top == -QS_INFINITY) return {0, 0};
    for (int i = lane; i < law.atoms; i += 32) {
        double weight = exp(law.raised_double(x[i], i) - top);
        sum += weight;
        first += weight * i;
    }
    sum = warp_sum(sum);
    first = warp_sum(first) / sum;
    for (int i = lane; i < law.atoms; i += 32) second += exp(law.raised_double(x[i], i) - top) * (i - first) * (i - first);
    second = warp_sum(second);
    return {law.low + law.step() * first, (double)law.step() * law.step() * second / sum};
}

// ln(Σ exp(x_k) + exp(rest)) by a block; x(k) is a candidate's term, and −∞ is legal.
template <class Terms> __device__ __forceinline__ double block_log_sum(int count, double rest, Terms x) {
    double top = rest, sum = 0;
    for (int k = threadIdx.x; k < count; k += blockDim.x) top = Highest{}(top, x(k));
    top = block_highest(top);
    if (top == -QS_INFINITY) return top;
    for (int k = threadIdx.x; k < count; k += blockDim.x) sum += exp(x(k) - top);
    sum = block_sum(sum);
    return top == rest && sum == 0 ? rest : top + log(sum + exp(rest - top));
}

// ln(1 − eˣ) for x < 0, by whichever of two forms does not cancel (Maechler 2012).
__device__ __forceinline__ double log_one_minus_exp(double x) { return x > -1e-5 ? log(-x * (1 + x / 2)) : log(1 - exp(x)); }
__device__ __forceinline__ double limited(double x, double low, double high) { return x < low ? low : x > high ? high : x; }

__device__ __forceinline__ double tilt_of_tail(const Law& law, double prefix, bool known, double part, double log_tail) {
    if (log_tail <= log(1e-6)) return -QS_INFINITY;   // the difference that would give a lighter tail's tilt is rounding
    double a = (double)law.lambda * law.low, b = (double)law.lambda * law.high, low = fmin(a, b), high = fmax(a, b);
    if (law.weights) {
        low = high = law.weights[0];
        for (int i = 1; i < max(law.atoms, 2); i++) {
            low = fmin(low, (double)law.weights[i]);
            high = fmax(high, (double)law.weights[i]);
        }
    }
    prefix = limited(prefix, low, high);
    if (!known) return prefix;
    if (law.tilt == TILT_MEAN) return limited((prefix - part) / exp(log_tail), low, high);
    if (part >= prefix) return low;   // the candidates alone exceed W(x)
    return limited(prefix + log_one_minus_exp(part - prefix) - log_tail, low, high);
}

// The tilt of the tokens outside and the residual, by a block. share(k) is ln q of slot k, and g[k] its tilt; there(k) is false
// for an empty slot. `prefix` is NaN where it is not known. Where no token would keep any weight, none is tilted: g becomes 0.
struct OutsideTilt { double tilt, residual; };
template <class There, class Share> __device__ __forceinline__ OutsideTilt tilt_outside(
    const Law& law, int slots, double log_tail, float prefix, There there, Share share, float* g) {
    float highest = -QS_INFINITY;   // of −g
    double total = 0, part = 0, mean = 0;
    int count = 0;
    for (int k = threadIdx.x; k < slots; k += blockDim.x)
        if (there(k)) {
            highest = Highest{}(-g[k], highest);
            total += g[k];
            count++;
            if (law.tilt == TILT_MEAN) part += exp(share(k)) * g[k];
        }
    count = block_sum(count);
    if (count == 0) return {0, 0};   // nothing is known of this row, so nothing is tilted
    double least = -block_highest(highest);
    total = block_sum(total);
    double log_mass = block_log_sum(slots, -QS_INFINITY, [&](int k) { return there(k) ? share(k) : -QS_INFINITY; });
    // The candidates' share of the mean: Σ q g, or ln Σ q e^g.
    if (law.tilt == TILT_MEAN) part = block_sum(part);
    else part = block_log_sum(slots, -QS_INFINITY, [&](int k) { return there(k) ? share(k) + g[k] : -QS_INFINITY; });
    bool has_mass = log_mass > -QS_INFINITY, known = prefix == prefix;
    if (has_mass) mean = law.tilt == TILT_MEAN ? part / exp(log_mass) : part - log_mass;
    double residual = has_mass && known && mean != -QS_INFINITY && prefix != -QS_INFINITY ? prefix - mean : 0;
    double tilt = law.outside == OUTSIDE_ZERO ? 0
        : law.outside == OUTSIDE_MIN ? least
        : law.outside == OUTSIDE_MEAN ? total / count
        : law.outside == OUTSIDE_TRUNCATE ? -QS_INFINITY
        : tilt_of_tail(law, known ? prefix : mean, known, part, log_tail);
    bool weighty = has_mass && (law.tilt == TILT_MEAN || part != -QS_INFINITY);
    if (weighty || !(log_tail == -QS_INFINITY || tilt == -QS_INFINITY)) return {tilt, residual};
    for (int k = threadIdx.x; k < slots; k += blockDim.x)
        if (there(k)) g[k] = 0;
    __syncthreads();
    return {0, __int_as_float(0x7fc00000)};
}
