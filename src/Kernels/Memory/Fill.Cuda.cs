using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void FillCore(Tensor x, int bits) =>
        Load("fill", "fill").Launch(Blocks(x.Count, 4 * Threads), Threads, 0, x, bits, x.Count);
}
