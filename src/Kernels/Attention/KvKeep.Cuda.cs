using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void KvKeepCore(Tensor keys, Tensor values, Tensor lengths, Tensor chosen) =>
        throw new NotSupportedException("KvKeep has no CUDA kernel.");
}
