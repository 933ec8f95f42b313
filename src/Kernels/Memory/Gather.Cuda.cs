using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void GatherCore(Tensor source, Tensor rows, Tensor y, int columns)
    {
        (Dim3 grid, int threads) = Stretches((int)rows.Count, columns, 16 / source.DType.Size());
        Load("gather", "gather", source.DType).Launch(grid, threads, 0, source, rows, y, columns);
    }

    private protected override void GatherBackwardCore(Tensor dy, Tensor rows, Tensor dSource, int columns) =>
        AddRows(dy, rows, Tensor.None, dSource, 1, 1, columns);

    /// <summary>table[rows[n]·A + a] += scale[n, a] · x[n / perRow], n in order.</summary>
    /// <param name="x">[N / perRow, C], F32 or BF16.</param>
    /// <param name="rows">[N] I32.</param>
    /// <param name="scale">[N, A] F32; None for 1.</param>
    /// <param name="table">[M·A, C], F32 or of x's type.</param>
    private void AddRows(Tensor x, Tensor rows, Tensor scale, Tensor table, int perRow, int atoms, int columns)
    {
        if (columns == 0) return;
        Load("add_rows", "add_rows", x.DType, table.DType).Launch(
            (int)rows.Count, Threads, 0, x, rows, scale, table,
            (int)rows.Count, (int)(table.Count / ((long)atoms * columns)), perRow, atoms, columns);
    }
}
