using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void StepStatisticsCore(
        Tensor logPolicy, Tensor logReference, Tensor logMass, Tensor next, GuidanceRule rule, Tensor candidates, Tensor valueLogits, Tensor g, Tensor gOutside, Tensor residual, Tensor chosen, Tensor statistics) =>
        throw new NotSupportedException("StepStatistics has no CUDA kernel.");
}
