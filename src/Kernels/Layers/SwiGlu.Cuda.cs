using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void SwiGluCore(Tensor gateUp, Tensor y, int rows, int width) =>
        throw new NotSupportedException("SwiGlu has no CUDA kernel.");

    private protected override void SwiGluBackwardCore(Tensor dy, Tensor gateUp, Tensor dGateUp, int rows, int width) =>
        throw new NotSupportedException("SwiGluBackward has no CUDA kernel.");
}
