using System.Runtime.Intrinsics;

using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>
    /// means[n] = Σ_v softmax(logits)[v] · values[v], what a policy can expect where each next token has a value, and
    /// chosen[n] = values[token], that of the token taken: what DICE methods build their losses from (Nachum et al. 2019).
    /// A logit of −∞ is a token that cannot occur; its value counts for nothing.
    /// </summary>
    /// <param name="logits">[N, V], F32 or BF16.</param>
    /// <param name="values">[N, V].</param>
    /// <param name="tokens">[N] I32 in [0, V); −1 gives 0 and the row is not read.</param>
    /// <param name="means">[N].</param>
    /// <param name="chosen">[N].</param>
    /// <param name="logSumExp">[N], kept for backward; 0 where the token is −1.</param>
    public void ExpectedValue(Tensor logits, Tensor values, Tensor tokens, Tensor means, Tensor chosen, Tensor logSumExp)
    {
        int rows = (int)tokens.Count;
        Require(tokens, rows, DType.I32);
        Require(logits, rows, Vocabulary(logits), TypeOf(logits));
        Require(values, rows, Vocabulary(logits));
        Require(means, rows);
        Require(chosen, rows);
        Require(logSumExp, rows);
        using OpSpan traced = Traced(logits, values, tokens, means);
        ExpectedValueCore(logits, values, tokens, means, chosen, logSumExp);
    }

    /// <summary>
    /// With p = softmax(logits): dLogits = dMeans · p · (values − mean) and dValues = dMeans · p + dChosen · onehot(token), written;
    /// 0 where the token is −1 or both gradients are 0.
    /// </summary>
    /// <param name="dMeans">[N].</param>
    /// <param name="dChosen">[N].</param>
    /// <param name="logits">[N, V], the input of <see cref="ExpectedValue"/>.</param>
    /// <param name="values">[N, V], as there.</param>
    /// <param name="tokens">[N] I32, as there.</param>
    /// <param name="means">[N], which it wrote.</param>
    /// <param name="logSumExp">[N], which it wrote.</param>
    /// <param name="dLogits">[N, V], of the logits' type; may be logits; None where it is not wanted.</param>
    /// <param name="dValues">[N, V]; may be values; None where it is not wanted.</param>
    public void ExpectedValueBackward(
        Tensor dMeans, Tensor dChosen, Tensor logits, Tensor values, Tensor tokens, Tensor means, Tensor logSumExp, Tensor dLogits, Tensor dValues)
    {
        int rows = (int)tokens.Count;
        DType type = TypeOf(logits);
        Require(dMeans, rows);
        Require(dChosen, rows);
        Require(logits, rows, Vocabulary(logits), type);
        Require(values, rows, Vocabulary(logits));
        Require(tokens, rows, DType.I32);
        Require(means, rows);
        Require(logSumExp, rows);
        if (!dLogits.IsNone) Require(dLogits, rows, Vocabulary(logits), type);
        if (!dValues.IsNone) Require(dValues, rows, Vocabulary(logits));
        using OpSpan traced = Traced(dMeans, logits, values, tokens);
        ExpectedValueBackwardCore(dMeans, dChosen, logits, values, tokens, means, logSumExp, dLogits, dValues);
    }

    private protected abstract void ExpectedValueCore(Tensor logits, Tensor values, Tensor tokens, Tensor means, Tensor chosen, Tensor logSumExp);

    private protected abstract void ExpectedValueBackwardCore(
        Tensor dMeans, Tensor dChosen, Tensor logits, Tensor values, Tensor tokens, Tensor means, Tensor logSumExp, Tensor dLogits, Tensor dValues);
}

public sealed unsafe partial class CpuOps
{
    private protected override void ExpectedValueCore(Tensor logits, Tensor values, Tensor tokens, Tensor means, Tensor chosen, Tensor logSumExp)
    {
        int vocab = logits.Shape.Last;
        RequireTokens(tokens, vocab, nameof(ExpectedValue));
        _workers.For((int)tokens.Count, Grain(2L * vocab * SoftmaxCost), new ExpectedValueWork(
            logits.Floats(), values.Floats(), tokens.Ints(), means.Floats(), chosen.Floats(), logSumExp.Floats(), vocab));
    }

    private protected override void ExpectedValueBackwardCore(
        Tensor dMeans, Tensor dChosen, Tensor logits, Tensor values, Tensor tokens, Tensor means, Tensor logSumExp, Tensor dLogits, Tensor dValues)
    {
        int vocab = logits.Shape.Last;
        RequireTokens(tokens, vocab, nameof(ExpectedValueBackward));
        _workers.For((int)tokens.Count, Grain((long)vocab * SoftmaxCost), new ExpectedValueBackwardWork(
            dMeans.Floats(), dChosen.Floats(), logits.Floats(), values.Floats(), tokens.Ints(), means.Floats(), logSumExp.Floats(), dLogits.Floats(), dValues.Floats(),
            vocab));
    }

    private readonly struct ExpectedValueWork(
        float* logits, float* values, int* tokens, float* means, float* chosen, float* logSumExp, int vocab) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            for (int n = begin; n < end; n++)
            {
                float* x = logits + (long)n * vocab, v = values + (long)n * vocab;
                if (tokens[n] < 0)
                {
                    (means[n], chosen[n], logSumExp[n]) = (0, 0, 0);
                    continue;
                }
                float max = RowMath.Max(x, vocab), sum = RowMath.SumExp(x, vocab, max);
                means[n] = RowMath.WeighedSum(x, v, vocab, max) / sum;
                chosen[n] = v[tokens[n]];
                logSumExp[n] = (float)(max + Math.Log(sum));
            }
        }
    }

    private readonly struct ExpectedValueBackwardWork(
        float* dMeans, float* dChosen, float* logits, float* values, int* tokens, float* means, float* logSumExp, float* dLogits, float* dValues, int vocab) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            for (int n = begin; n < end; n++)
            {
                long row = (long)n * vocab;
                float* x = logits + row, v = values + row, dx = dLogits == null ? null : dLogits + row, dv = dValues == null ? null : dValues + row;
                if (tokens[n] < 0 || (dMeans[n] == 0 && dChosen[n] == 0))
                {
                    if (dx != null) new Span<float>(dx, vocab).Clear();
                    if (dv != null) new Span<float>(dv, vocab).Clear();
                    continue;
                }
                Vector256<float> shift = Vector256.Create(logSumExp[n]), scale = Vector256.Create(dMeans[n]), mean = Vector256.Create(means[n]);
                for (int i = 0; i < vocab; i += Vector256<float>.Count)
                {
                    int left = vocab - i;
                    Vector256<float> share = scale * VectorMath.Exp(RowMath.Load(x + i, left, float.NegativeInfinity) - shift);
                    Vector256<float> slope = Vector256.ConditionalSelect(Vector256.Equals(share, default), default, share * (RowMath.Load(v + i, left, 0) - mean));
                    if (dx != null) RowMath.Store(slope, dx + i, left);
                    if (dv != null) RowMath.Store(share, dv + i, left);
                }
                if (dv != null) dv[tokens[n]] += dChosen[n];
            }
        }
    }
}
