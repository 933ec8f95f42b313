using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void TopPCore(Tensor scores, float temperature, float topP, Tensor y, Tensor logMass) =>
        throw new NotSupportedException("TopP has no CUDA kernel.");
}
