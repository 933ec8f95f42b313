using System.Runtime.Intrinsics;

using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>
    /// The loss of Q♯'s value head (Zhou et al. 2025): the cross-entropy of a return with the distribution that the head
    /// gives, and its gradient. With r = (return − Min) / (Max − Min), clamped to [0, 1]:
    /// Bernoulli: losses[n] = w · (softplus(ℓ) − r·ℓ), dℓ = w · (σ(ℓ) − r);
    /// categorical: losses[n] = −w · Σᵢ qᵢ ln softmax(ℓ)ᵢ, dℓᵢ = w · (softmax(ℓ)ᵢ − qᵢ), where q is the projection of the
    /// return on the atoms: two-hot keeps the mean (Bellemare et al. 2017), nearest takes atom round(r·(A−1)), halves to
    /// even, as the official code does. A logit of −∞ is an atom (or a success) that cannot occur. Weight 0 gives 0
    /// whatever the logits are; a return that is NaN gives NaN.
    /// </summary>
    /// <param name="valueLogits">[N, A], A = family.Atoms.</param>
    /// <param name="returns">[N], on the scale of Min and Max.</param>
    /// <param name="weights">[N].</param>
    /// <param name="losses">[N].</param>
    /// <param name="dValueLogits">[N, A]; may be valueLogits; None for the loss alone.</param>
    public void ReturnCrossEntropy(
        Tensor valueLogits, Tensor returns, Tensor weights, ReturnFamily family, Projection projection, Tensor losses, Tensor dValueLogits)
    {
        int rows = (int)returns.Count;
        Require(family.Kind == FamilyKind.Bernoulli ? family.Atoms == 1 : family.Atoms >= 2,
            $"{family.Kind} cannot have {family.Atoms} atoms: Bernoulli has 1, categorical 2 or more");
        Require(family.Max > family.Min && float.IsFinite(family.Max - family.Min),
            $"returns must range from a smaller to a larger number, not from {family.Min} to {family.Max}");
        Require(projection is Projection.TwoHot or Projection.Nearest, $"there is no projection {projection}");
        Require(valueLogits, rows, family.Atoms);
        Require(returns, rows);
        Require(weights, rows);
        Require(losses, rows);
        if (!dValueLogits.IsNone) Require(dValueLogits, rows, family.Atoms);
        using OpSpan traced = Traced(valueLogits, returns, weights, losses);
        ReturnCrossEntropyCore(valueLogits, returns, weights, family, projection, losses, dValueLogits);
    }

    private protected abstract void ReturnCrossEntropyCore(
        Tensor valueLogits, Tensor returns, Tensor weights, ReturnFamily family, Projection projection, Tensor losses, Tensor dValueLogits);
}

public sealed unsafe partial class CpuOps
{
    private protected override void ReturnCrossEntropyCore(
        Tensor valueLogits, Tensor returns, Tensor weights, ReturnFamily family, Projection projection, Tensor losses, Tensor dValueLogits)
    {
        if (family.Kind == FamilyKind.Bernoulli)
        {
            _workers.For(Items(returns.Count), 8, new BernoulliWork(
                valueLogits.Floats(), returns.Floats(), weights.Floats(), family, losses.Floats(), dValueLogits.Floats(), returns.Count));
            return;
        }
        _workers.For((int)returns.Count, Grain((long)family.Atoms * SoftmaxCost), new CategoricalWork(
            valueLogits.Floats(), returns.Floats(), weights.Floats(), family, projection, losses.Floats(), dValueLogits.Floats()));
    }

    private readonly struct BernoulliWork(
        float* logits, float* returns, float* weights, ReturnFamily family, float* losses, float* dLogits, long count) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            Vector256<float> one = Vector256<float>.One, zero = Vector256<float>.Zero;
            float min = family.Min, range = family.Max - family.Min;
            long stop = Math.Min((long)end * ElementsPerItem, count);
            for (long i = (long)begin * ElementsPerItem; i < stop; i += 8)
            {
                int left = (int)(stop - i);
                Vector256<float> logit = RowMath.Load(logits + i, left, 0), weight = RowMath.Load(weights + i, left, 0);
                Vector256<float> r = (RowMath.Load(returns + i, left, 0) - Vector256.Create(min)) / Vector256.Create(range);
                r = Vector256.Min(Vector256.Max(r, zero), one);

                // All from |ℓ| and the target of the less likely outcome, so that a confident and right head keeps its
                // digits: loss = c·|ℓ| + log1p(e^(−|ℓ|)), ±gradient = c − e/(1+e), with c = 1 − r for ℓ > 0, else r.
                Vector256<float> positive = Vector256.GreaterThan(logit, zero), size = Vector256.Abs(logit);
                Vector256<float> c = Vector256.ConditionalSelect(positive, one - r, r);
                Vector256<float> e = VectorMath.Exp(-size);
                Vector256<float> linear = Vector256.ConditionalSelect(Vector256.Equals(c, zero), zero, c * size);   // 0 · ∞ is 0 here

                Vector256<float> counts = ~Vector256.Equals(weight, zero);
                RowMath.Store(counts & (weight * (linear + Log1p(e))), losses + i, left);
                if (dLogits == null) continue;
                Vector256<float> gradient = c - e / (one + e);
                gradient = Vector256.ConditionalSelect(positive, gradient, -gradient);
                RowMath.Store(counts & (weight * gradient), dLogits + i, left);
            }
        }

        /// <summary>ln(1 + x) for x in [0, 1], with Kahan's correction of the rounded sum; NaN stays.</summary>
        private static Vector256<float> Log1p(Vector256<float> x)
        {
            Vector256<float> sum = Vector256<float>.One + x, rounded = sum - Vector256<float>.One;
            Vector256<float> corrected = VectorMath.Log(sum) * (x / rounded);
            return Vector256.ConditionalSelect(Vector256.Equals(rounded, Vector256<float>.Zero), x, corrected);
        }
    }

    private readonly struct CategoricalWork(
        float* logits, float* returns, float* weights, ReturnFamily family, Projection projection, float* losses, float* dLogits) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            int atoms = family.Atoms;
            for (int n = begin; n < end; n++)
            {
                float* x = logits + (long)n * atoms;
                float* dx = dLogits == null ? null : dLogits + (long)n * atoms;
                float weight = weights[n];
                if (IsSilent(weight, losses + n, dx, atoms)) continue;
                (int atom, float share) = ReturnProjection.Of(returns[n], family, projection);
                float max = RowMath.Max(x, atoms), sum = RowMath.SumExp(x, atoms, max);
                float expected = (1 - share) * (x[atom] - max);
                if (share != 0) expected += share * (x[atom + 1] - max);   // an atom without a share may be at −∞
                losses[n] = weight * ((float)Math.Log(sum) - expected);
                if (dx == null) continue;
                RowMath.ScaledExp(x, atoms, max, weight / sum, dx);
                dx[atom] -= weight * (1 - share);
                if (share != 0) dx[atom + 1] -= weight * share;
            }
        }
    }
}
