using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void LayerNormCore(Tensor x, Tensor weight, Tensor bias, float epsilon, Tensor y, Tensor stats) =>
        throw new NotSupportedException("LayerNorm has no CUDA kernel.");

    private protected override void LayerNormBackwardCore(
        Tensor dy, Tensor x, Tensor weight, Tensor stats, Tensor dx, Tensor dWeight, Tensor dBias) =>
        throw new NotSupportedException("LayerNormBackward has no CUDA kernel.");
}
