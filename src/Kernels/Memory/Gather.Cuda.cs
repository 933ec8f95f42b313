using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void GatherCore(Tensor source, Tensor rows, Tensor y, int columns) =>
        throw new NotSupportedException("Gather has no CUDA kernel.");

    private protected override void GatherBackwardCore(Tensor dy, Tensor rows, Tensor dSource, int columns) =>
        throw new NotSupportedException("GatherBackward has no CUDA kernel.");
}
