using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void AttentionCore(Tensor qkv, Tensor spans, AttentionSizes sizes, Tensor y, Tensor logSumExp) =>
        throw new NotSupportedException("Attention has no CUDA kernel.");
}
