using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void CachePositionsCore(Tensor lengths, CacheLayout layout, Tensor positions) =>
        throw new NotSupportedException("CachePositions has no CUDA kernel.");
}
