using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void OutsideTiltCore(
        Tensor logReference, Tensor candidates, Tensor g, Tensor weights, Tensor prefixTilt, GuidanceRule rule, Tensor gOutside, Tensor residual)
    {
        int columns = logReference.Shape.Last;
        Load("outside_tilt", "outside_tilt").Launch(
            logReference.Shape.Rows, RowThreads(columns), Blocks(columns, 32) * sizeof(uint), logReference, candidates, g, weights,
            WeightStride(weights), prefixTilt, (int)rule.Tilt, rule.Family.Atoms, rule.Family.Min, rule.Family.Max, rule.Lambda, (int)rule.Outside, gOutside, residual,
            columns, candidates.Shape.Last);
    }
}
