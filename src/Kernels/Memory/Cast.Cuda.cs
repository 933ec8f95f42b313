using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void CastCore(Tensor x, Tensor y) =>
        Load("cast", "cast", x.DType, y.DType).Launch(Blocks(x.Count, 8 * Threads), Threads, 0, x, y, x.Count);
}
