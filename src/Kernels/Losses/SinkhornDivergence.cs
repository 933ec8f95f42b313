using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>Most atoms of <see cref="SinkhornDivergence"/>: four rows' potentials lie in a block's shared memory.</summary>
    public const int MostSinkhornAtoms = 512;

    // Each halves the error at least: the derivative of T is −K with K's eigenvalues in [0, 1], so that of ½(u + T) is in [0, ½].
    private protected const int SinkhornIterations = 40;

    /// <summary>
    /// The Sinkhorn divergence of a categorical distribution from a return (method notes §4.8; Sun et al. 2024), with ground cost
    /// |z − z′|ᵃ and entropic price ε: losses[n] = w · S, S = 2·OT_ε(p, δ_R) − OT_ε(p, p) = 2 Σ pᵢ (dᵢ − uᵢ), where dᵢ = |zᵢ − R|ᵃ and u
    /// is the symmetric potential of p; dℓᵢ = w · pᵢ (2(dᵢ − uᵢ) − S), by the envelope theorem. ε → 0 is the Wasserstein distance,
    /// ε → ∞ the energy distance. A logit of −∞ is an atom that cannot occur; weight 0 gives 0 whatever the logits are.
    /// </summary>
    /// <param name="valueLogits">[N, A], A = family.Atoms, at most <see cref="MostSinkhornAtoms"/>.</param>
    /// <param name="returns">[N], clamped to the family's range.</param>
    /// <param name="weights">[N].</param>
    /// <param name="epsilon">ε &gt; 0, in the units of the cost.</param>
    /// <param name="power">a, in (0, 2]: the costs for which the iteration is known to converge.</param>
    /// <param name="losses">[N].</param>
    /// <param name="dValueLogits">[N, A]; may be valueLogits; None for the loss alone.</param>
    public void SinkhornDivergence(
        Tensor valueLogits, Tensor returns, Tensor weights, ReturnFamily family, float epsilon, float power, Tensor losses, Tensor dValueLogits)
    {
        int rows = (int)returns.Count;
        RequireAtoms(family);
        Require(family.Atoms <= MostSinkhornAtoms, $"{family.Atoms} atoms are more than the {MostSinkhornAtoms} that this loss takes");
        Require(epsilon > 0 && float.IsFinite(epsilon), $"ε must be a number above 0, not {epsilon}");
        Require(power is > 0 and <= 2, $"the power of the cost must be above 0 and at most 2, not {power}");
        Require(valueLogits, rows, family.Atoms);
        Require(returns, rows);
        Require(weights, rows);
        Require(losses, rows);
        if (!dValueLogits.IsNone) Require(dValueLogits, rows, family.Atoms);
        using OpSpan traced = Traced(valueLogits, returns, weights, losses);
        SinkhornDivergenceCore(valueLogits, returns, weights, family, epsilon, power, losses, dValueLogits);
    }

    private protected abstract void SinkhornDivergenceCore(
        Tensor valueLogits, Tensor returns, Tensor weights, ReturnFamily family, float epsilon, float power, Tensor losses, Tensor dValueLogits);
}

public sealed unsafe partial class CpuOps
{
    private protected override void SinkhornDivergenceCore(
        Tensor valueLogits, Tensor returns, Tensor weights, ReturnFamily family, float epsilon, float power, Tensor losses, Tensor dValueLogits) =>
        _workers.For((int)returns.Count, Grain((long)SinkhornIterations * family.Atoms * family.Atoms * SoftmaxCost), new SinkhornWork(
            valueLogits.Floats(), returns.Floats(), weights.Floats(), family, epsilon, power, losses.Floats(), dValueLogits.Floats()));

    private readonly struct SinkhornWork(
        float* logits, float* returns, float* weights, ReturnFamily family, float epsilon, float power, float* losses, float* dLogits) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            int atoms = family.Atoms;
            float* costs = stackalloc float[2 * atoms - 1], logP = stackalloc float[atoms], u = stackalloc float[atoms], terms = stackalloc float[atoms];
            float* next = stackalloc float[atoms];
            // −cost/ε by i − j, so that a row of it is contiguous: costs[A − 1 − i + j].
            for (int k = 0; k < 2 * atoms - 1; k++) costs[k] = -MathF.Pow(Math.Abs(k - atoms + 1) * family.Step, power) / epsilon;
            for (int n = begin; n < end; n++)
            {
                float* x = logits + (long)n * atoms;
                float* dx = dLogits == null ? null : dLogits + (long)n * atoms;
                float weight = weights[n], value = returns[n];
                if (IsSilent(weight, losses + n, dx, atoms)) continue;
                if (!float.IsNaN(value)) value = Math.Clamp(value, family.Min, family.Max);
                float max = RowMath.Max(x, atoms), logSum = max + MathF.Log(RowMath.SumExp(x, atoms, max));
                for (int i = 0; i < atoms; i++)
                {
                    logP[i] = x[i] - logSum;
                    u[i] = 0;
                }
                for (int iteration = 0; iteration < SinkhornIterations; iteration++)
                {
                    for (int i = 0; i < atoms; i++)
                    {
                        for (int j = 0; j < atoms; j++) terms[j] = logP[j] + u[j] / epsilon + costs[atoms - 1 - i + j];
                        float top = RowMath.Max(terms, atoms);
                        next[i] = 0.5f * (u[i] - epsilon * (top + MathF.Log(RowMath.SumExp(terms, atoms, top))));
                    }
                    Buffer.MemoryCopy(next, u, 4L * atoms, 4L * atoms);
                }
                double loss = 0;
                for (int i = 0; i < atoms; i++)
                {
                    next[i] = 2 * (MathF.Pow(MathF.Abs(family.Return(i) - value), power) - u[i]);
                    loss += MathF.Exp(logP[i]) * (double)next[i];
                }
                losses[n] = (float)(weight * loss);
                if (dx == null) continue;
                for (int i = 0; i < atoms; i++) dx[i] = weight * MathF.Exp(logP[i]) * (float)(next[i] - loss);
            }
        }
    }
}
