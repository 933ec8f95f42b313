using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void AdamWCore(
        Tensor weights, Tensor gradients, Tensor m, Tensor v, AdamWSettings settings, Tensor schedule, Tensor clip, Tensor rounded) =>
        Load("adam_w", "adam_w").Launch(
            Blocks(weights.Count, 4 * Threads), Threads, 0, weights, gradients, m, v, weights.Count,
            settings.Beta1, settings.Beta2, settings.Epsilon, settings.WeightDecay, schedule, clip, rounded, settings.RoundsStochastically ? 1 : 0);
}
