using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void ReturnCrossEntropyCore(
        Tensor valueLogits, Tensor returns, Tensor weights, ReturnFamily family, Projection projection, Tensor losses, Tensor dValueLogits)
    {
        int rows = (int)returns.Count;
        float range = family.Max - family.Min;
        if (family.Kind == FamilyKind.Bernoulli)
        {
            Load("return_cross_entropy", "bernoulli_cross_entropy").Launch(
                Blocks(rows, Threads), Threads, 0, valueLogits, returns, weights, family.Min, range, losses, dValueLogits, rows);
            return;
        }
        const int RowsPerBlock = 4;   // a warp each
        Load("return_cross_entropy", "categorical_cross_entropy").Launch(
            Blocks(rows, RowsPerBlock), 32 * RowsPerBlock, 0, valueLogits, returns, weights, family.Min, range,
            projection == Projection.Nearest ? 1 : 0, losses, dValueLogits, rows, family.Atoms);
    }
}
