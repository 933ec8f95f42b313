using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void KvWriteCore(
        Tensor qkv, Tensor lengths, Tensor counts, CacheSizes sizes, Tensor keys, Tensor values) =>
        throw new NotSupportedException("KvWrite has no CUDA kernel.");
}
