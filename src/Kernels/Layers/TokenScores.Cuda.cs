using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void TokenScoresCore(Tensor x, Tensor bias, Tensor table, Tensor tokens, Tensor y, TokenScoreSizes sizes) =>
        Load("token_scores", "token_scores", x.DType, table.DType).Launch(
            Blocks(y.Count, Threads / 32), Threads, 0, x, bias, table, tokens, y, sizes.Tokens, sizes.PerRow, sizes.Atoms, sizes.Width);

    private protected override void TokenScoresBackwardCore(Tensor dy, Tensor table, Tensor tokens, Tensor dx, Tensor dBias, TokenScoreSizes sizes)
    {
        (Dim3 grid, int threads) = Stretches(sizes.Tokens / sizes.PerRow * sizes.Atoms, sizes.Width, 8);
        Load("token_scores", "token_scores_dx", dx.DType, table.DType).Launch(
            grid, threads, 0, dy, table, tokens, dx, dBias, sizes.PerRow, sizes.Atoms, sizes.Width);
    }
}
