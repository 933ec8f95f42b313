using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    /// <summary>Blocks that share the elements: enough to fill any card, and the same on all, as are the bits.</summary>
    private const int SquareBlocks = 1024;

    private protected override void GlobalNormCore(Tensor x, float maxNorm, Tensor result)
    {
        Tensor sums = device.Scratch((SquareBlocks, sizeof(double) / sizeof(float)));
        Load("global_norm", "square_sums").Launch(SquareBlocks, Threads, 0, x, sums, x.Count);
        Load("global_norm", "clip_factor").Launch(1, Threads, 0, sums, result, SquareBlocks, maxNorm);
    }
}
