using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void AddCore(Tensor a, Tensor b, Tensor y) =>
        Load("add", "add", y.DType).Launch(Blocks(y.Count, 8 * Threads), Threads, 0, a, b, y, y.Count);
}
