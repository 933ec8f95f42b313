using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void SinkhornDivergenceCore(
        Tensor valueLogits, Tensor returns, Tensor weights, ReturnFamily family, float epsilon, float power, Tensor losses, Tensor dValueLogits)
    {
        const int RowsPerBlock = 4;   // a warp each
        int rows = (int)returns.Count, shared = sizeof(float) * family.Atoms * (1 + 3 * RowsPerBlock);
        Load("sinkhorn_divergence", "sinkhorn_divergence").Launch(
            Blocks(rows, RowsPerBlock), 32 * RowsPerBlock, shared, valueLogits, returns, weights, family.Min, family.Max - family.Min, epsilon, power,
            SinkhornIterations, losses, dValueLogits, rows, family.Atoms);
    }
}
