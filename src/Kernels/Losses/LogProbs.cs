using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>logProbs[n] = ln softmax(logits[n])[token]; 0 where the token is −1.</summary>
    /// <param name="logits">[N, V].</param>
    /// <param name="tokens">[N] I32 in [−1, V).</param>
    /// <param name="logProbs">[N], written.</param>
    /// <param name="logSumExp">[N], written; kept for backward.</param>
    public void LogProbs(Tensor logits, Tensor tokens, Tensor logProbs, Tensor logSumExp)
    {
        int rows = logits.Shape.Rows, vocabulary = logits.Shape.Last;
        Require(logits, rows, vocabulary);
        Require(tokens, rows, DType.I32);
        Require(logProbs, rows);
        Require(logSumExp, rows);
        LogProbsCore(logits, tokens, logProbs, logSumExp);
    }

    /// <summary>dLogits = dLogProb · (onehot − softmax), written; 0 where the token is −1.</summary>
    /// <param name="dLogProbs">[N].</param>
    /// <param name="logSumExp">[N], from <see cref="LogProbs"/>.</param>
    /// <param name="dLogits">[N, V]; may be logits.</param>
    public void LogProbsBackward(Tensor dLogProbs, Tensor logits, Tensor tokens, Tensor logSumExp, Tensor dLogits)
    {
        int rows = logits.Shape.Rows, vocabulary = logits.Shape.Last;
        Require(dLogProbs, rows);
        Require(logits, rows, vocabulary);
        Require(tokens, rows, DType.I32);
        Require(logSumExp, rows);
        Require(dLogits, rows, vocabulary);
        LogProbsBackwardCore(dLogProbs, logits, tokens, logSumExp, dLogits);
    }

    private protected abstract void LogProbsCore(Tensor logits, Tensor tokens, Tensor logProbs, Tensor logSumExp);

    private protected abstract void LogProbsBackwardCore(Tensor dLogProbs, Tensor logits, Tensor tokens, Tensor logSumExp, Tensor dLogits);
}

public sealed unsafe partial class CpuOps
{
    private protected override void LogProbsCore(Tensor logits, Tensor tokens, Tensor logProbs, Tensor logSumExp)
    {
        int vocabulary = logits.Shape.Last;
        foreach (int token in tokens.Span<int>())
            if (token < -1 || token >= vocabulary)
                throw new ArgumentException($"LogProbs: token {token} is outside of the vocabulary of {vocabulary}.");
        _workers.For(logits.Shape.Rows, Grain(vocabulary),
            new LogProbsWork(logits.Floats(), tokens.Ints(), logProbs.Floats(), logSumExp.Floats(), vocabulary));
    }

    private protected override void LogProbsBackwardCore(Tensor dLogProbs, Tensor logits, Tensor tokens, Tensor logSumExp, Tensor dLogits) =>
        _workers.For(logits.Shape.Rows, Grain(logits.Shape.Last),
            new LogProbsBackwardWork(dLogProbs.Floats(), logits.Floats(), tokens.Ints(), logSumExp.Floats(), dLogits.Floats(), logits.Shape.Last));

    private readonly struct LogProbsWork(float* logits, int* tokens, float* logProbs, float* logSumExp, int vocabulary) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            for (int n = begin; n < end; n++)
            {
                float* row = logits + (long)n * vocabulary;
                logSumExp[n] = RowMath.LogSumExp(row, vocabulary);
                logProbs[n] = tokens[n] < 0 ? 0 : row[tokens[n]] - logSumExp[n];
            }
        }
    }

    private readonly struct LogProbsBackwardWork(float* dLogProbs, float* logits, int* tokens, float* logSumExp, float* dLogits, int vocabulary) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            for (int n = begin; n < end; n++)
            {
                float* row = logits + (long)n * vocabulary, gradient = dLogits + (long)n * vocabulary;
                if (tokens[n] < 0)
                {
                    new Span<float>(gradient, vocabulary).Clear();
                    continue;
                }
                RowMath.ScaledExp(row, gradient, vocabulary, logSumExp[n], -dLogProbs[n]);
                gradient[tokens[n]] += dLogProbs[n];
            }
        }
    }
}
