using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void GeluCore(Tensor x, Tensor y) =>
        throw new NotSupportedException("Gelu has no CUDA kernel.");

    private protected override void GeluBackwardCore(Tensor dy, Tensor x, Tensor dx) =>
        throw new NotSupportedException("GeluBackward has no CUDA kernel.");
}
