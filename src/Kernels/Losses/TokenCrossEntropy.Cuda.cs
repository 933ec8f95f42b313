using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void TokenCrossEntropyCore(
        Tensor logits, Tensor targets, Tensor weights, Tensor losses, Tensor dLogits) =>
        throw new NotSupportedException("TokenCrossEntropy has no CUDA kernel.");
}
