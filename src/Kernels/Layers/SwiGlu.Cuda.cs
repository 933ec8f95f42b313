using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void SwiGluCore(Tensor gateUp, Tensor y, int rows, int width)
    {
        (Dim3 grid, int threads) = Stretches(rows, width, 8);
        Load("swi_glu", "swi_glu", y.DType).Launch(grid, threads, 0, gateUp, y, width);
    }

    private protected override void SwiGluBackwardCore(Tensor dy, Tensor gateUp, Tensor dGateUp, int rows, int width)
    {
        (Dim3 grid, int threads) = Stretches(rows, width, 8);
        Load("swi_glu", "swi_glu_backward", dy.DType).Launch(grid, threads, 0, dy, gateUp, dGateUp, width);
    }
}
