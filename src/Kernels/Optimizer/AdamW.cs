using System.Runtime.Intrinsics;

using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>What does not change between the steps of <see cref="Ops.AdamW"/>.</summary>
/// <param name="Beta1">Decay of the mean gradient, in [0, 1).</param>
/// <param name="Beta2">Decay of the mean squared gradient, in [0, 1).</param>
/// <param name="Epsilon">Added to the root of the mean square, positive.</param>
/// <param name="WeightDecay">Decoupled decay, per step times the learning rate.</param>
/// <param name="RoundsStochastically">
/// Whether a BF16 copy of the weights is rounded up with the probability of the part that is cut off, so that steps too small
/// for BF16 still move it on average (Gupta et al. 2015); otherwise to nearest, ties to even.
/// </param>
public readonly record struct AdamWSettings(
    float Beta1, float Beta2, float Epsilon, float WeightDecay, bool RoundsStochastically = false);

public abstract partial class Ops
{
    /// <summary>
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019), all in one pass. With g the clipped gradient:
    /// m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², w ← w − lr · (m̂ / (√v̂ + ε) + decay · w),
    /// where m̂ = m/(1 − β₁ᵗ) and v̂ = v/(1 − β₂ᵗ). The gradients are not cleared.
    /// </summary>
    /// <param name="weights">[N], updated.</param>
    /// <param name="gradients">[N].</param>
    /// <param name="m">[N], updated; zeros before the first step.</param>
    /// <param name="v">[N], updated; zeros before the first step.</param>
    /// <param name="schedule">
    /// [4]: lr, 1 − β₁ᵗ, 1 − β₂ᵗ, t for step t ≥ 1. On the device, so that a recorded step can be replayed; t gives each step
    /// random numbers of its own.
    /// </param>
    /// <param name="clip">
    /// [2], as written by <see cref="GlobalNorm"/>: g = gradient · clip[1]. Where clip[1] is 0, g is 0 even for gradients that
    /// are not finite: the moments decay and the weights follow them, as after a batch without signal. None: no clipping.
    /// </param>
    /// <param name="rounded">[N] BF16: a copy of the new weights, for products; or None.</param>
    public void AdamW(
        Tensor weights, Tensor gradients, Tensor m, Tensor v, AdamWSettings settings, Tensor schedule, Tensor clip, Tensor rounded)
    {
        int count = checked((int)weights.Count);
        Require(weights, count);
        Require(gradients, count);
        Require(m, count);
        Require(v, count);
        Require(settings.Beta1 is >= 0 and < 1 && settings.Beta2 is >= 0 and < 1, $"{settings}: the betas must lie in [0, 1).");
        Require(settings.Epsilon > 0, $"{settings}: epsilon must be positive.");
        Require(schedule, 4);
        if (!clip.IsNone) Require(clip, 2);
        if (!rounded.IsNone) Require(rounded, count, DType.BF16);
        using OpSpan traced = Traced(weights, gradients, m, v);
        AdamWCore(weights, gradients, m, v, settings, schedule, clip, rounded);
    }

    private protected abstract void AdamWCore(
        Tensor weights, Tensor gradients, Tensor m, Tensor v, AdamWSettings settings, Tensor schedule, Tensor clip, Tensor rounded);
}

public sealed unsafe partial class CpuOps
{
    private protected override void AdamWCore(
        Tensor weights, Tensor gradients, Tensor m, Tensor v, AdamWSettings settings, Tensor schedule, Tensor clip, Tensor rounded) =>
        _workers.For(Items(weights.Count), 8, new AdamWWork(
            weights.Floats(), gradients.Floats(), m.Floats(), v.Floats(), weights.Count, settings, schedule.Floats(), clip.Floats(),
            (ushort*)rounded.Address));

    private readonly struct AdamWWork(
        float* weights, float* gradients, float* m, float* v, long count, AdamWSettings settings, float* schedule, float* clip,
        ushort* rounded) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            long first = (long)begin * ElementsPerItem, stop = Math.Min((long)end * ElementsPerItem, count);
            Update(first, stop);
            if (rounded is null) return;
            Span<ushort> to = new(rounded + first, (int)(stop - first));
            if (settings.RoundsStochastically) StochasticRounding.Round(weights + first, to, first, (uint)schedule[3]);
            else BFloat16.Round(new ReadOnlySpan<float>(weights + first, to.Length), to);
        }

        private void Update(long i, long stop)
        {
            for (; i + 8 <= stop; i += 8)
                Step(Vector256.Load(gradients + i), weights + i, m + i, v + i);
            if (i == stop) return;
            // The last few go through the same arithmetic, in a padded copy.
            int rest = (int)(stop - i);
            float* padded = stackalloc float[32];
            new Span<float>(padded, 32).Clear();
            new ReadOnlySpan<float>(gradients + i, rest).CopyTo(new Span<float>(padded, 8));
            new ReadOnlySpan<float>(weights + i, rest).CopyTo(new Span<float>(padded + 8, 8));
            new ReadOnlySpan<float>(m + i, rest).CopyTo(new Span<float>(padded + 16, 8));
            new ReadOnlySpan<float>(v + i, rest).CopyTo(new Span<float>(padded + 24, 8));
            Step(Vector256.Load(padded), padded + 8, padded + 16, padded + 24);
            new ReadOnlySpan<float>(padded + 8, rest).CopyTo(new Span<float>(weights + i, rest));
            new ReadOnlySpan<float>(padded + 16, rest).CopyTo(new Span<float>(m + i, rest));
            new ReadOnlySpan<float>(padded + 24, rest).CopyTo(new Span<float>(v + i, rest));
        }

        private void Step(Vector256<float> gradient, float* weight, float* mean, float* square)
        {
            float rate = schedule[0], factor = clip is null ? 1 : clip[1];
            Vector256<float> g = factor == 0 ? Vector256<float>.Zero : gradient * factor;
            Vector256<float> newMean = Vector256.MultiplyAddEstimate(
                g, Vector256.Create(1 - settings.Beta1), settings.Beta1 * Vector256.Load(mean));
            Vector256<float> newSquare = Vector256.MultiplyAddEstimate(
                g * g, Vector256.Create(1 - settings.Beta2), settings.Beta2 * Vector256.Load(square));
            newMean.Store(mean);
            newSquare.Store(square);
            Vector256<float> root = Vector256.MultiplyAddEstimate(
                Vector256.Sqrt(newSquare), Vector256.Create(1 / MathF.Sqrt(schedule[2])), Vector256.Create(settings.Epsilon));
            Vector256<float> step = newMean / root * (rate / schedule[1]);
            Vector256<float> old = Vector256.Load(weight);
            (old - Vector256.MultiplyAddEstimate(old, Vector256.Create(rate * settings.WeightDecay), step)).Store(weight);
        }
    }
}
