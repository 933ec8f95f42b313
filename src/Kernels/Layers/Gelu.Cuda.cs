using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void GeluCore(Tensor x, Tensor y) =>
        Load("gelu", "gelu", x.DType).Launch(Blocks(x.Count, 8 * Threads), Threads, 0, x, y, x.Count);

    private protected override void GeluBackwardCore(Tensor dy, Tensor x, Tensor dx) =>
        Load("gelu", "gelu_backward", x.DType).Launch(Blocks(x.Count, 8 * Threads), Threads, 0, dy, x, dx, x.Count);
}
