using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void RopeCore(
        Tensor qkv, int heads, int headDim, Tensor positions, Tensor frequencies, bool inverse) =>
        throw new NotSupportedException("Rope has no CUDA kernel.");
}
