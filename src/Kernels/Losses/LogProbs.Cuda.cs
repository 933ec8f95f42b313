using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void LogProbsCore(Tensor logits, Tensor tokens, Tensor logProbs, Tensor logSumExp) =>
        throw new NotSupportedException("LogProbs has no CUDA kernel.");

    private protected override void LogProbsBackwardCore(
        Tensor dLogProbs, Tensor logits, Tensor tokens, Tensor logSumExp, Tensor dLogits) =>
        throw new NotSupportedException("LogProbsBackward has no CUDA kernel.");
}
