using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void SampleRowCore(Tensor scores, Tensor streams, Tensor positions, ulong key, Tensor next) =>
        throw new NotSupportedException("SampleRow has no CUDA kernel.");
}
