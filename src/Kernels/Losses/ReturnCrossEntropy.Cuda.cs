using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void ReturnCrossEntropyCore(
        Tensor valueLogits, Tensor returns, Tensor weights, ReturnFamily family, Projection projection, Tensor losses, Tensor dValueLogits) =>
        throw new NotSupportedException("ReturnCrossEntropy has no CUDA kernel.");
}
