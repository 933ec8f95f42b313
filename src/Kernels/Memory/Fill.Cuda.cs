using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void FillCore(Tensor x, int bits)
    {
        long halves = x.Bytes / sizeof(ushort);
        if (bits == 0) device.Clear(x);
        else Load("fill", "fill").Launch(Blocks(halves, 8 * Threads), Threads, 0, x, bits, halves);
    }
}
