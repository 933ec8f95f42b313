using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void RegularisedCrossEntropyCore(
        Tensor valueLogits, Tensor anchorLogits, Tensor returns, Tensor weights, ReturnFamily family, Projection projection, float kappa, Tensor losses,
        Tensor dValueLogits)
    {
        const int RowsPerBlock = 4;   // a warp each
        int rows = (int)returns.Count;
        Load("regularised_cross_entropy", "regularised_cross_entropy").Launch(
            Blocks(rows, RowsPerBlock), 32 * RowsPerBlock, 0, valueLogits, anchorLogits, returns, weights, family.Min, family.Max - family.Min,
            projection == Projection.Nearest ? 1 : 0, kappa, losses, dValueLogits, rows, family.Atoms);
    }
}
