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
    /// <item>None, or λ = 0: exactly 0.</item>
    /// </list>
    /// λ may be negative.
    /// </summary>
    /// <param name="valueLogits">[B, K, A], A = family.Atoms; [B, K] does for one logit.</param>
    /// <param name="g">[B, K].</param>
    public void AtomTilt(Tensor valueLogits, ReturnFamily family, Tilt tilt, float lambda, Tensor g)
    {
        RequireFamily(family, lambda);
        Require(g, (int)g.Count);
        Require(valueLogits, checked((int)g.Count * family.Atoms));
        using OpSpan traced = Traced(valueLogits, g);
        if (g.Count > 0) AtomTiltCore(valueLogits, family, tilt, lambda, g);
    }

    private protected abstract void AtomTiltCore(Tensor valueLogits, ReturnFamily family, Tilt tilt, float lambda, Tensor g);
}

public sealed unsafe partial class CpuOps
{
    private const int CandidatesPerItem = 64;

    private protected override void AtomTiltCore(Tensor valueLogits, ReturnFamily family, Tilt tilt, float lambda, Tensor g)
    {
        int count = (int)g.Count;
        _workers.For(
            (count + CandidatesPerItem - 1) / CandidatesPerItem, Grain(CandidatesPerItem * 20L * family.Atoms),
            new AtomTiltWork(valueLogits.Floats(), family, tilt, lambda, g.Floats(), count));
    }

    private readonly struct AtomTiltWork(float* logits, ReturnFamily family, Tilt tilt, float lambda, float* g, int count) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            int first = begin * CandidatesPerItem, stop = Math.Min(end * CandidatesPerItem, count);
            Tilts.Of(logits + (long)first * family.Atoms, stop - first, family, tilt, lambda, g + first);
        }
    }
}
