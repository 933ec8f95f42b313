using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void RopeCore(
        Tensor qkv, int heads, int headDim, Tensor positions, Tensor frequencies, bool inverse)
    {
        if (heads == 0) return;
        int pieces = Blocks(headDim / 2, 8), sharedBytes = 2 * 8 * pieces * sizeof(float);   // sines and cosines
        int threads = (int)Math.Min(Threads, 32L * Blocks((long)heads * pieces, 32));
        Load("rope", "rope", qkv.DType).Launch(
            (int)positions.Count, threads, sharedBytes, qkv, qkv.Shape.Last, heads, headDim, positions, frequencies, inverse ? -1 : 1);
    }
}
