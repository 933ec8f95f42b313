using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void GlobalNormCore(Tensor x, float maxNorm, Tensor result) =>
        throw new NotSupportedException("GlobalNorm has no CUDA kernel.");
}
