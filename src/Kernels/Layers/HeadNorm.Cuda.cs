using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void HeadNormCore(
        Tensor qkv, Tensor queryWeight, Tensor keyWeight, HeadNormSizes sizes, float epsilon, Tensor y, Tensor rstd) =>
        throw new NotSupportedException("HeadNorm has no CUDA kernel.");

    private protected override void HeadNormBackwardCore(
        Tensor dy, Tensor qkv, Tensor queryWeight, Tensor keyWeight, Tensor rstd, HeadNormSizes sizes, Tensor dx, Tensor dQueryWeight, Tensor dKeyWeight) =>
        throw new NotSupportedException("HeadNormBackward has no CUDA kernel.");
}
