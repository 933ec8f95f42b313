using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void AdvanceCore(Tensor lengths, Tensor counts, int by) =>
        throw new NotSupportedException("Advance has no CUDA kernel.");
}
