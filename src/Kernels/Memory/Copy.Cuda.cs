using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void CopyCore(Tensor source, Tensor destination) =>
        throw new NotSupportedException("Copy has no CUDA kernel.");
}
