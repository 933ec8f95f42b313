using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void FillCore(Tensor x, int bits)
    {
        long halves = x.Bytes / sizeof(ushort);
        Load("fill", "fill").Launch(Blocks(halves, 8 * Threads), Threads, 0, x, bits, halves);
    }
}
