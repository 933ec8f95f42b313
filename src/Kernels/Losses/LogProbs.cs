using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>
    /// logProbs[n] = ln softmax(logits)[token], what the policy methods (REINFORCE, PPO, DPO) build their losses from.
    /// A logit of −∞ is a token that cannot occur, and taking it has log-probability −∞.
    /// </summary>
    /// <param name="logits">[N, V], F32 or BF16.</param>
    /// <param name="tokens">[N] I32 in [0, V); −1 gives 0 and the row is not read.</param>
    /// <param name="logProbs">[N].</param>
    /// <param name="logSumExp">[N], kept for backward; 0 where the token is −1.</param>
    public void LogProbs(Tensor logits, Tensor tokens, Tensor logProbs, Tensor logSumExp)
    {
        int rows = (int)tokens.Count;
        Require(tokens, rows, DType.I32);
        Require(logits, rows, Vocabulary(logits), TypeOf(logits));
        Require(logProbs, rows);
        Require(logSumExp, rows);
        using OpSpan traced = Traced(logits, tokens, logProbs, logSumExp);
        LogProbsCore(logits, tokens, logProbs, logSumExp);
    }

    /// <summary>dLogits = dLogProbs · (onehot(token) − softmax(logits)), written; 0 where the token is −1 or dLogProbs is 0.</summary>
    /// <param name="dLogProbs">[N].</param>
    /// <param name="logits">[N, V], the input of <see cref="LogProbs"/>.</param>
    /// <param name="tokens">[N] I32, as there.</param>
    /// <param name="logSumExp">[N], which it wrote.</param>
    /// <param name="dLogits">[N, V], of the logits' type; may be logits.</param>
    public void LogProbsBackward(Tensor dLogProbs, Tensor logits, Tensor tokens, Tensor logSumExp, Tensor dLogits)
    {
        int rows = (int)tokens.Count;
        DType type = TypeOf(logits);
        Require(dLogProbs, rows);
        Require(logits, rows, Vocabulary(logits), type);
        Require(tokens, rows, DType.I32);
        Require(logSumExp, rows);
        Require(dLogits, rows, Vocabulary(logits), type);
        using OpSpan traced = Traced(dLogProbs, logits, tokens, logSumExp);
        LogProbsBackwardCore(dLogProbs, logits, tokens, logSumExp, dLogits);
    }

    private protected abstract void LogProbsCore(Tensor logits, Tensor tokens, Tensor logProbs, Tensor logSumExp);

    private protected abstract void LogProbsBackwardCore(Tensor dLogProbs, Tensor logits, Tensor tokens, Tensor logSumExp, Tensor dLogits);
}

public sealed unsafe partial class CpuOps
{
    private protected override void LogProbsCore(Tensor logits, Tensor tokens, Tensor logProbs, Tensor logSumExp)
    {
        int vocab = logits.Shape.Last;
        RequireTokens(tokens, vocab, nameof(LogProbs));
        _workers.For((int)tokens.Count, Grain((long)vocab * SoftmaxCost), new LogProbsWork(
            logits.Floats(), tokens.Ints(), logProbs.Floats(), logSumExp.Floats(), vocab));
    }

    private protected override void LogProbsBackwardCore(Tensor dLogProbs, Tensor logits, Tensor tokens, Tensor logSumExp, Tensor dLogits)
    {
        int vocab = logits.Shape.Last;
        RequireTokens(tokens, vocab, nameof(LogProbsBackward));
        _workers.For((int)tokens.Count, Grain((long)vocab * SoftmaxCost), new LogProbsBackwardWork(
            dLogProbs.Floats(), logits.Floats(), tokens.Ints(), logSumExp.Floats(), dLogits.Floats(), vocab));
    }

    private readonly struct LogProbsWork(float* logits, int* tokens, float* logProbs, float* logSumExp, int vocab) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            for (int n = begin; n < end; n++)
            {
                float* x = logits + (long)n * vocab;
                int token = tokens[n];
                if (token < 0)
                {
                    logProbs[n] = 0;
                    logSumExp[n] = 0;
                    continue;
                }
                float max = RowMath.Max(x, vocab);
                double logSum = Math.Log(RowMath.SumExp(x, vocab, max));
                logProbs[n] = (float)(x[token] - max - logSum);
                logSumExp[n] = (float)(max + logSum);
            }
        }
    }

    private readonly struct LogProbsBackwardWork(
        float* dLogProbs, float* logits, int* tokens, float* logSumExp, float* dLogits, int vocab) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            for (int n = begin; n < end; n++)
            {
                float* x = logits + (long)n * vocab, dx = dLogits + (long)n * vocab;
                if (tokens[n] < 0 || dLogProbs[n] == 0)
                {
                    new Span<float>(dx, vocab).Clear();
                    continue;
                }
                RowMath.ScaledExp(x, vocab, logSumExp[n], -dLogProbs[n], dx);
                dx[tokens[n]] += dLogProbs[n];
            }
        }
    }
}
