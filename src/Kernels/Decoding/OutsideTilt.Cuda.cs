using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void OutsideTiltCore(
        Tensor logReference, Tensor candidates, Tensor g, Tensor prefixTilt, GuidanceRule rule, Tensor gOutside, Tensor residual) =>
        throw new NotSupportedException("OutsideTilt has no CUDA kernel.");
}
