using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void TokenCrossEntropyCore(
        Tensor logits, Tensor targets, Tensor weights, Tensor losses, Tensor dLogits)
    {
        int columns = logits.Shape.Last;
        Load("token_cross_entropy", "token_cross_entropy", logits.DType).Launch(
            (int)targets.Count, RowThreads(columns), 0, logits, targets, weights, losses, dLogits, columns);
    }

    /// <summary>Threads of a block that takes a row, eight columns a thread and step: few steps, and no warp without work.</summary>
    private static int RowThreads(int columns) => Math.Clamp(32 * Blocks(columns, 8 * 32), 32, 1024);
}
