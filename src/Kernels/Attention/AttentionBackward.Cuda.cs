using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void AttentionBackwardCore(
        Tensor dy, Tensor qkv, Tensor spans, AttentionSizes sizes, Tensor y, Tensor logSumExp, Tensor dQkv) =>
        throw new NotSupportedException("AttentionBackward has no CUDA kernel.");
}
