using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void SquaredErrorCore(
        Tensor outputs, Tensor targets, Tensor weights, Link link, Tensor losses, Tensor dOutputs) =>
        throw new NotSupportedException("SquaredError has no CUDA kernel.");
}
