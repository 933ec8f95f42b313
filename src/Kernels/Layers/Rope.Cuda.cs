using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void RopeCore(
        Tensor qkv, int heads, int headDim, Tensor positions, Tensor frequencies, bool inverse)
    {
        if (heads == 0) return;
        Load("rope", "rope", qkv.DType).Launch(
            (int)positions.Count, RopeThreads(heads, headDim), RopeBytes(headDim),
            qkv, qkv.Shape.Last, heads, headDim, positions, frequencies, inverse ? -1 : 1);
    }

    /// <summary>Whole warps with a thread for each eight pairs, but for a limit.</summary>
    private static int RopeThreads(int heads, int headDim) => (int)Math.Min(Threads, 32L * Blocks((long)heads * RopePieces(headDim), 32));

    /// <summary>Shared memory for the sines and cosines of a position.</summary>
    private static int RopeBytes(int headDim) => 2 * 8 * RopePieces(headDim) * sizeof(float);

    private static int RopePieces(int headDim) => Blocks(headDim / 2, 8);
}
