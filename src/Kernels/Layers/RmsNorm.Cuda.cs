using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void RmsNormCore(Tensor x, Tensor weight, float epsilon, Tensor y, Tensor stats) =>
        throw new NotSupportedException("RmsNorm has no CUDA kernel.");

    private protected override void RmsNormBackwardCore(
        Tensor dy, Tensor x, Tensor weight, Tensor stats, Tensor dx, Tensor dWeight) =>
        throw new NotSupportedException("RmsNormBackward has no CUDA kernel.");
}
