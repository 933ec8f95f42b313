using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>
    /// losses[n] = −w[n] · ln softmax(logits[n])[target], and the gradient w·(softmax − onehot) of their sum. Rows without
    /// a target (−1) have neither.
    /// </summary>
    /// <param name="logits">[N, V].</param>
    /// <param name="targets">[N] I32 in [−1, V).</param>
    /// <param name="weights">[N].</param>
    /// <param name="losses">[N], written.</param>
    /// <param name="dLogits">[N, V], written; may be logits; None for the loss alone.</param>
    public void TokenCrossEntropy(Tensor logits, Tensor targets, Tensor weights, Tensor losses, Tensor dLogits)
    {
        int rows = logits.Shape.Rows, vocabulary = logits.Shape.Last;
        Require(logits, rows, vocabulary);
        Require(targets, rows, DType.I32);
        Require(weights, rows);
        Require(losses, rows);
        if (!dLogits.IsNone) Require(dLogits, rows, vocabulary);
        TokenCrossEntropyCore(logits, targets, weights, losses, dLogits);
    }

    private protected abstract void TokenCrossEntropyCore(Tensor logits, Tensor targets, Tensor weights, Tensor losses, Tensor dLogits);
}

public sealed unsafe partial class CpuOps
{
    private protected override void TokenCrossEntropyCore(Tensor logits, Tensor targets, Tensor weights, Tensor losses, Tensor dLogits)
    {
        int vocabulary = logits.Shape.Last;
        foreach (int target in targets.Span<int>())
            if (target < -1 || target >= vocabulary)
                throw new ArgumentException($"TokenCrossEntropy: target {target} is outside of the vocabulary of {vocabulary}.");
        _workers.For(logits.Shape.Rows, Grain(2L * vocabulary),
            new TokenCrossEntropyWork(logits.Floats(), targets.Ints(), weights.Floats(), losses.Floats(), dLogits.Floats(), vocabulary));
    }

    private readonly struct TokenCrossEntropyWork(float* logits, int* targets, float* weights, float* losses, float* dLogits, int vocabulary) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            for (int n = begin; n < end; n++)
            {
                float* row = logits + (long)n * vocabulary, gradient = dLogits + (long)n * vocabulary;
                if (targets[n] < 0)
                {
                    losses[n] = 0;
                    if (dLogits != null) new Span<float>(gradient, vocabulary).Clear();
                    continue;
                }
                float logSumExp = RowMath.LogSumExp(row, vocabulary);
                losses[n] = weights[n] * (logSumExp - row[targets[n]]);
                if (dLogits == null) continue;
                RowMath.ScaledExp(row, gradient, vocabulary, logSumExp, weights[n]);
                gradient[targets[n]] -= weights[n];
            }
        }
    }
}
