using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void GatheredMatMulCore(
        Tensor x, Tensor w, Tensor bias, Tensor tokens, Tensor y, int perRow, int atoms, int width) =>
        Load("gathered_mat_mul", "gathered_mat_mul", x.DType, w.DType).Launch(
            Blocks(y.Count, Threads / 32), Threads, 0, x, w, bias, tokens, y, (int)tokens.Count, perRow, atoms, width);

    private protected override void GatheredMatMulBackwardCore(
        Tensor dy, Tensor x, Tensor w, Tensor tokens, Tensor dx, Tensor dw, Tensor dBias, int perRow, int atoms, int width)
    {
        (Dim3 grid, int threads) = Stretches(x.Shape.Rows, width, 8);
        Load("gathered_mat_mul", "gathered_mat_mul_dx", x.DType, w.DType).Launch(grid, threads, 0, dy, w, tokens, dx, perRow, atoms, width);
        AddRows(x, tokens, dy, dw, perRow, atoms, width);
        if (!dBias.IsNone) AddRows(dy, tokens, Tensor.None, dBias, 1, 1, atoms);
    }
}
