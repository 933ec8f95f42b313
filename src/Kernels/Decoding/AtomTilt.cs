using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>
    /// The tilt of each candidate from its value logits, in forms that neither overflow nor cancel:
    /// <list type="bullet">
    /// <item>LogMeanExp (Q♯, arXiv 2502.20548): ln E[exp(λZ)]. Bernoulli: λ·Min + softplus(ℓ + λ(Max − Min)) − softplus(ℓ);
    /// categorical: LSE(ln p_i + λ z_i), p = softmax(ℓ).</item>
    /// <item>Mean (controlled decoding): λ·E[Z].</item>
    /// <item>Weighted: LSE(ln p_i + h_i), h a table of log-weights; −∞ where every return with weight has none of p. Bernoulli:
    /// h₀ + softplus(ℓ + h₁ − h₀) − softplus(ℓ).</item>
    /// <item>None, or λ = 0: exactly 0.</item>
    /// </list>
    /// λ may be negative.
    /// </summary>
    /// <param name="valueLogits">[B, K, A], A = family.Atoms; [B, K] does for one logit.</param>
    /// <param name="weights">For Weighted: [B, R] or [1, R] for all rows, R = family.Returns, finite or −∞; else None.</param>
    /// <param name="g">[B, K].</param>
    public void AtomTilt(Tensor valueLogits, ReturnFamily family, Tilt tilt, float lambda, Tensor weights, Tensor g)
    {
        RequireFamily(family, lambda);
        Require(g, (int)g.Count);
        Require(valueLogits, checked((int)g.Count * family.Atoms));
        if (g.Count == 0) return;
        RequireWeights(tilt, family, weights, g.Shape.Rows);
        using OpSpan traced = Traced(valueLogits, g);
        AtomTiltCore(valueLogits, family, tilt, lambda, weights, g);
    }

    private protected abstract void AtomTiltCore(Tensor valueLogits, ReturnFamily family, Tilt tilt, float lambda, Tensor weights, Tensor g);

    /// <summary>Candidates that share a row of log-weights: all of them where there is one row or none.</summary>
    private protected static int CandidatesOfRow(Tensor weights, Tensor g) =>
        weights.IsNone || weights.Shape.Rows == 1 ? (int)g.Count : g.Shape.Last;
}

public sealed unsafe partial class CpuOps
{
    private const int CandidatesPerItem = 64;

    private protected override void AtomTiltCore(Tensor valueLogits, ReturnFamily family, Tilt tilt, float lambda, Tensor weights, Tensor g)
    {
        int perRow = CandidatesOfRow(weights, g), items = (perRow + CandidatesPerItem - 1) / CandidatesPerItem;
        _workers.For(
            (int)g.Count / perRow * items, Grain(CandidatesPerItem * 20L * family.Atoms),
            new AtomTiltWork(valueLogits.Floats(), family, tilt, lambda, new WeightTable(weights), g.Floats(), perRow, items));
    }

    private readonly struct AtomTiltWork(
        float* logits, ReturnFamily family, Tilt tilt, float lambda, WeightTable weights, float* g, int perRow, int itemsPerRow) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            for (int item = begin; item < end; item++)
            {
                int row = item / itemsPerRow, start = item % itemsPerRow * CandidatesPerItem;
                long first = (long)row * perRow + start;
                int count = Math.Min(CandidatesPerItem, perRow - start);
                Tilts.Of(logits + first * family.Atoms, count, family, tilt, lambda, weights.Row(row), g + first);
            }
        }
    }
}
