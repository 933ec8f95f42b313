using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void GatheredMatMulCore(
        Tensor x, Tensor w, Tensor bias, Tensor tokens, Tensor y, int perRow, int atoms, int width) =>
        throw new NotSupportedException("GatheredMatMul has no CUDA kernel.");

    private protected override void GatheredMatMulBackwardCore(
        Tensor dy, Tensor x, Tensor w, Tensor tokens, Tensor dx, Tensor dw, Tensor dBias, int perRow, int atoms, int width) =>
        throw new NotSupportedException("GatheredMatMulBackward has no CUDA kernel.");
}
