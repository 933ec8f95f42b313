using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void StepStatisticsCore(
        Tensor logPolicy, Tensor logReference, Tensor logMass, Tensor next, GuidanceRule rule, Tensor candidates, Tensor valueLogits,
        Tensor weights, Tensor g, Tensor gOutside, Tensor residual, Tensor chosen, Tensor statistics)
    {
        int columns = logPolicy.Shape.Last;
        bool tiltsFirst = rule.IsGuided && rule.Order == Order.TiltThenTemper;
        Load("step_statistics", "step_statistics").Launch(
            logPolicy.Shape.Rows, RowThreads(columns), 0, logPolicy, logReference, logMass, next, candidates, valueLogits, weights, WeightStride(weights),
            g, gOutside, residual, (int)rule.Tilt, rule.Family.Atoms, rule.Family.Min, rule.Family.Max, rule.Lambda, tiltsFirst ? 1 : 0,
            rule.Temperature == 0 ? 1 : 1 / rule.Temperature, chosen, statistics, columns,
            candidates.IsNone ? 0 : candidates.Shape.Last);
    }
}
