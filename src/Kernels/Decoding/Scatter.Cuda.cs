using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void ScatterCore(Tensor x, Tensor candidates, Tensor values, Tensor others, Tensor y) =>
        throw new NotSupportedException("Scatter has no CUDA kernel.");
}
