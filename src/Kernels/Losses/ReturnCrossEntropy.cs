using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>
    /// The Q♯ loss (method notes §2.2): w·cross-entropy between a sampled return and the head's distribution of it, and its
    /// gradient. Bernoulli: softplus(ℓ) − r·ℓ with r the return scaled to [0, 1]. Categorical: −Σ qᵢ ln softmax(ℓ)ᵢ with q
    /// the return's projection on the atoms. A return outside of the family's range counts as the nearer end.
    /// </summary>
    /// <param name="valueLogits">[N, A].</param>
    /// <param name="returns">[N].</param>
    /// <param name="weights">[N].</param>
    /// <param name="losses">[N], written.</param>
    /// <param name="dLogits">[N, A], written; may be valueLogits; None for the loss alone.</param>
    public void ReturnCrossEntropy(
        Tensor valueLogits, Tensor returns, Tensor weights, ReturnFamily family, Projection projection, Tensor losses, Tensor dLogits)
    {
        int rows = valueLogits.Shape.Rows, atoms = family.Atoms;
        Require(family.Kind == FamilyKind.Bernoulli ? atoms == 1 : atoms >= 2, $"a {family.Kind} family cannot have {atoms} atoms.");
        Require(family.Max > family.Min, $"the family's range {family.Min} to {family.Max} is empty.");
        Require(valueLogits, rows, atoms);
        Require(returns, rows);
        Require(weights, rows);
        Require(losses, rows);
        if (!dLogits.IsNone) Require(dLogits, rows, atoms);
        ReturnCrossEntropyCore(valueLogits, returns, weights, family, projection, losses, dLogits);
    }

    private protected abstract void ReturnCrossEntropyCore(
        Tensor valueLogits, Tensor returns, Tensor weights, ReturnFamily family, Projection projection, Tensor losses, Tensor dLogits);
}

public sealed unsafe partial class CpuOps
{
    private protected override void ReturnCrossEntropyCore(
        Tensor valueLogits, Tensor returns, Tensor weights, ReturnFamily family, Projection projection, Tensor losses, Tensor dLogits) =>
        _workers.For(valueLogits.Shape.Rows, Grain(40 + 4L * family.Atoms),
            new ReturnCrossEntropyWork(valueLogits.Floats(), returns.Floats(), weights.Floats(), family, projection, losses.Floats(), dLogits.Floats()));

    private readonly struct ReturnCrossEntropyWork(
        float* logits, float* returns, float* weights, ReturnFamily family, Projection projection, float* losses, float* dLogits) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            for (int n = begin; n < end; n++)
            {
                float value = Math.Clamp(returns[n], family.Min, family.Max);
                if (family.Kind == FamilyKind.Bernoulli) Bernoulli(n, (value - family.Min) / (family.Max - family.Min));
                else Categorical(n, value);
            }
        }

        private void Bernoulli(int n, float target)
        {
            float logit = logits[n];
            losses[n] = weights[n] * (VectorMath.Softplus(logit) - target * logit);
            if (dLogits != null) dLogits[n] = weights[n] * (1 / (1 + MathF.Exp(-logit)) - target);
        }

        private void Categorical(int n, float value)
        {
            int atoms = family.Atoms;
            float* row = logits + (long)n * atoms, gradient = dLogits + (long)n * atoms;
            (int low, float highShare) = Project(value);
            int high = Math.Min(low + 1, atoms - 1);
            float logSumExp = RowMath.LogSumExp(row, atoms);
            losses[n] = weights[n] * (logSumExp - (1 - highShare) * row[low] - highShare * row[high]);
            if (dLogits == null) return;
            RowMath.ScaledExp(row, gradient, atoms, logSumExp, weights[n]);
            gradient[low] -= weights[n] * (1 - highShare);
            gradient[high] -= weights[n] * highShare;
        }

        /// <summary>The atom below a return, and the share of the atom above it.</summary>
        private (int Low, float HighShare) Project(float value)
        {
            float place = (value - family.Min) / family.Step;
            if (projection == Projection.Nearest) return (Math.Clamp((int)MathF.Round(place), 0, family.Atoms - 1), 0);
            int low = Math.Clamp((int)place, 0, family.Atoms - 2);
            return (low, Math.Clamp(place - low, 0, 1));
        }
    }
}
