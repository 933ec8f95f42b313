using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void CachedAttentionCore(
        Tensor qkv, Tensor keys, Tensor values, Tensor lengths, Tensor counts, CacheSizes sizes, CacheLayout layout, Tensor y) =>
        throw new NotSupportedException("CachedAttention has no CUDA kernel.");
}
