using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>
    /// losses[n] = −w · ln softmax(logits)[target], and its gradient dLogits = w · (softmax(logits) − onehot(target)),
    /// both written in one visit of the row. A logit of −∞ is a token that cannot occur. Rows without a target or with
    /// weight 0 give 0 whatever their logits are. The means of a batch are the caller's weights,
    /// and so are a policy's advantages: a weight may be negative.
    /// </summary>
    /// <param name="logits">[N, V], F32 or BF16.</param>
    /// <param name="targets">[N] I32 in [0, V), or −1 for no loss.</param>
    /// <param name="weights">[N].</param>
    /// <param name="losses">[N].</param>
    /// <param name="dLogits">[N, V], of the logits' type; may be logits; None for the loss alone.</param>
    public void TokenCrossEntropy(Tensor logits, Tensor targets, Tensor weights, Tensor losses, Tensor dLogits)
    {
        int rows = (int)targets.Count;
        Require(targets, rows, DType.I32);
        DType type = TypeOf(logits);
        Require(logits, rows, Vocabulary(logits), type);
        Require(weights, rows);
        Require(losses, rows);
        if (!dLogits.IsNone) Require(dLogits, rows, Vocabulary(logits), type);
        using OpSpan traced = Traced(logits, targets, weights, losses);
        TokenCrossEntropyCore(logits, targets, weights, losses, dLogits);
    }

    /// <summary>V of logits, before they are checked.</summary>
    private static int Vocabulary(Tensor logits) => logits.IsNone ? 0 : logits.Shape.Last;

    private protected abstract void TokenCrossEntropyCore(Tensor logits, Tensor targets, Tensor weights, Tensor losses, Tensor dLogits);
}

public sealed unsafe partial class CpuOps
{
    private const int SoftmaxCost = 8;   // elementary operations an element of a row softmax is worth

    private protected override void TokenCrossEntropyCore(Tensor logits, Tensor targets, Tensor weights, Tensor losses, Tensor dLogits)
    {
        int rows = (int)targets.Count, vocab = logits.Shape.Last;
        RequireTokens(targets, vocab, nameof(TokenCrossEntropy));
        _workers.For(rows, Grain((long)vocab * SoftmaxCost), new TokenCrossEntropyWork(
            logits.Floats(), targets.Ints(), weights.Floats(), losses.Floats(), dLogits.Floats(), vocab));
    }

    /// <summary>Token ids index the row that they are taken from, so they are checked before any thread does.</summary>
    private static void RequireTokens(Tensor tokens, int vocab, string op)
    {
        int* ids = tokens.Ints();
        for (long i = 0; i < tokens.Count; i++)
        {
            if (ids[i] < -1 || ids[i] >= vocab)
                throw new ArgumentException($"{op}: token {ids[i]} at {i} is neither −1 nor an id of the {vocab} tokens that the logits speak of.");
        }
    }

    private readonly struct TokenCrossEntropyWork(
        float* logits, int* targets, float* weights, float* losses, float* dLogits, int vocab) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            for (int n = begin; n < end; n++)
            {
                float* x = logits + (long)n * vocab;
                float* dx = dLogits == null ? null : dLogits + (long)n * vocab;
                int target = targets[n];
                float weight = weights[n];
                if (IsSilent(target < 0 ? 0 : weight, losses + n, dx, vocab)) continue;
                float max = RowMath.Max(x, vocab), sum = RowMath.SumExp(x, vocab, max);
                losses[n] = weight * ((float)Math.Log(sum) - (x[target] - max));
                if (dx == null) continue;
                RowMath.ScaledExp(x, vocab, max, weight / sum, dx);
                dx[target] -= weight;
            }
        }
    }
}
