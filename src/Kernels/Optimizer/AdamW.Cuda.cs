using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void AdamWCore(
        Tensor weights, Tensor gradients, Tensor m, Tensor v, AdamWSettings settings, Tensor schedule, Tensor clip) =>
        throw new NotSupportedException("AdamW has no CUDA kernel.");
}
