using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void TiltedSampleCore(
        Tensor refLogits, Tensor candidates, Tensor valueLogits, Tensor prefixTilt, Tensor streams, Tensor positions, GuidanceRule rule, ulong key, Tensor next, Tensor chosen, Tensor statistics) =>
        throw new NotSupportedException("TiltedSample has no CUDA kernel.");
}
