using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void MatMulCore(Tensor x, Tensor w, Tensor bias, Tensor y, int rows) =>
        throw new NotSupportedException("MatMul has no CUDA kernel.");

    private protected override void MatMulBackwardCore(
        Tensor dy, Tensor x, Tensor w, Tensor dx, Tensor dw, Tensor dBias, int rows) =>
        throw new NotSupportedException("MatMulBackward has no CUDA kernel.");
}
