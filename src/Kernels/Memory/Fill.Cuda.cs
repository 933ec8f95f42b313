using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void FillCore(Tensor x, int bits)
    {
        if (bits == 0) device.Clear(x);
        else Load("fill", "fill").Launch(Blocks(x.Count, 4 * Threads), Threads, 0, x, bits, x.Count);
    }
}
