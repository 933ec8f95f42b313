using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void TopKCore(Tensor logits, Tensor ids, Tensor values) =>
        throw new NotSupportedException("TopK has no CUDA kernel.");
}
