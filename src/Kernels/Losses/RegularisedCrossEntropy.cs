using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>
    /// The cross-entropy of a return with a categorical distribution, held near another one (method notes §4.8): with p and a the
    /// softmaxes of both logits and q the projection of the return,
    /// losses[n] = w · (−Σ q ln p + κ · KL(a ‖ p)), dℓᵢ = w · ((1 + κ) pᵢ − qᵢ − κ aᵢ). The anchor gets no gradient.
    /// A logit of −∞ is an atom that cannot occur. Weight 0 gives 0 whatever the logits are; a return that is NaN gives NaN.
    /// </summary>
    /// <param name="valueLogits">[N, A], A = family.Atoms.</param>
    /// <param name="anchorLogits">[N, A]: of the distribution to stay near.</param>
    /// <param name="returns">[N], on the scale of Min and Max.</param>
    /// <param name="weights">[N].</param>
    /// <param name="kappa">At least 0.</param>
    /// <param name="losses">[N].</param>
    /// <param name="dValueLogits">[N, A]; may be valueLogits; None for the loss alone.</param>
    public void RegularisedCrossEntropy(
        Tensor valueLogits, Tensor anchorLogits, Tensor returns, Tensor weights, ReturnFamily family, Projection projection, float kappa, Tensor losses,
        Tensor dValueLogits)
    {
        int rows = (int)returns.Count;
        RequireAtoms(family);
        Require(projection is Projection.TwoHot or Projection.Nearest, $"there is no projection {projection}");
        Require(kappa >= 0 && float.IsFinite(kappa), $"κ must be a number of at least 0, not {kappa}");
        Require(valueLogits, rows, family.Atoms);
        Require(anchorLogits, rows, family.Atoms);
        Require(returns, rows);
        Require(weights, rows);
        Require(losses, rows);
        if (!dValueLogits.IsNone) Require(dValueLogits, rows, family.Atoms);
        using OpSpan traced = Traced(valueLogits, anchorLogits, returns, weights);
        RegularisedCrossEntropyCore(valueLogits, anchorLogits, returns, weights, family, projection, kappa, losses, dValueLogits);
    }

    private protected abstract void RegularisedCrossEntropyCore(
        Tensor valueLogits, Tensor anchorLogits, Tensor returns, Tensor weights, ReturnFamily family, Projection projection, float kappa, Tensor losses,
        Tensor dValueLogits);

    private static void RequireAtoms(ReturnFamily family)
    {
        Require(family is { Kind: FamilyKind.Categorical, Atoms: >= 2 }, $"{family.Kind} with {family.Atoms} atoms: this loss is one of a categorical family with 2 or more");
        Require(family.Max > family.Min && float.IsFinite(family.Max - family.Min),
            $"returns must range from a smaller to a larger number, not from {family.Min} to {family.Max}");
    }
}

public sealed unsafe partial class CpuOps
{
    private protected override void RegularisedCrossEntropyCore(
        Tensor valueLogits, Tensor anchorLogits, Tensor returns, Tensor weights, ReturnFamily family, Projection projection, float kappa, Tensor losses,
        Tensor dValueLogits) =>
        _workers.For((int)returns.Count, Grain(2L * family.Atoms * SoftmaxCost), new RegularisedWork(
            valueLogits.Floats(), anchorLogits.Floats(), returns.Floats(), weights.Floats(), family, projection, kappa, losses.Floats(), dValueLogits.Floats()));

    private readonly struct RegularisedWork(
        float* logits, float* anchors, float* returns, float* weights, ReturnFamily family, Projection projection, float kappa, float* losses, float* dLogits) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            int atoms = family.Atoms;
            for (int n = begin; n < end; n++)
            {
                float* x = logits + (long)n * atoms, anchor = anchors + (long)n * atoms;
                float* dx = dLogits == null ? null : dLogits + (long)n * atoms;
                float weight = weights[n];
                if (IsSilent(weight, losses + n, dx, atoms)) continue;
                (int atom, float share) = ReturnProjection.Of(returns[n], family, projection);
                float max = RowMath.Max(x, atoms), sum = RowMath.SumExp(x, atoms, max), logSum = max + MathF.Log(sum);
                float anchorMax = RowMath.Max(anchor, atoms), anchorSum = RowMath.SumExp(anchor, atoms, anchorMax), anchorLogSum = anchorMax + MathF.Log(anchorSum);
                double loss = 0;
                for (int i = 0; i < atoms; i++)
                {
                    float q = i == atom ? 1 - share : i == atom + 1 ? share : 0, logP = x[i] - logSum, logA = anchor[i] - anchorLogSum, a = MathF.Exp(logA);
                    if (q != 0) loss -= q * logP;   // an atom without a share may be at −∞
                    if (a != 0) loss += kappa * a * (logA - logP);
                    if (dx != null) dx[i] = weight * ((1 + kappa) * MathF.Exp(logP) - q - kappa * a);
                }
                losses[n] = (float)(weight * loss);
            }
        }
    }
}
