using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void LogProbsCore(Tensor logits, Tensor tokens, Tensor logProbs, Tensor logSumExp)
    {
        int columns = logits.Shape.Last;
        Load("log_probs", "log_probs", logits.DType).Launch(
            (int)tokens.Count, RowThreads(columns), 0, logits, tokens, logProbs, logSumExp, columns);
    }

    private protected override void LogProbsBackwardCore(
        Tensor dLogProbs, Tensor logits, Tensor tokens, Tensor logSumExp, Tensor dLogits)
    {
        int columns = logits.Shape.Last;
        Load("log_probs", "log_probs_backward", logits.DType).Launch(
            (int)tokens.Count, RowThreads(columns), 0, dLogProbs, logits, tokens, logSumExp, dLogits, columns);
    }
}
