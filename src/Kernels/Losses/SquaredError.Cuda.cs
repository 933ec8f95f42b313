using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void SquaredErrorCore(
        Tensor outputs, Tensor targets, Tensor weights, Link link, Tensor losses, Tensor dOutputs) =>
        Load("squared_error", "squared_error").Launch(
            Blocks(targets.Count, Threads), Threads, 0, outputs, targets, weights, (int)link, losses, dOutputs, (int)targets.Count);
}
