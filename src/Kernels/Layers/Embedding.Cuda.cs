using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void EmbeddingCore(
        Tensor tokens, Tensor table, Tensor positions, Tensor positionTable, Tensor y)
    {
        int columns = table.Shape.Last;
        (Dim3 grid, int threads) = Stretches((int)tokens.Count, columns, 8);
        Load("embedding", "embedding", y.DType, table.DType).Launch(
            grid, threads, 0, tokens, table, positions, positionTable, y,
            table.Shape.Rows, positionTable.IsNone ? 0 : positionTable.Shape.Rows, columns);
    }

    private protected override void EmbeddingBackwardCore(
        Tensor dy, Tensor tokens, Tensor positions, Tensor dTable, Tensor dPositionTable)
    {
        AddRows(dy, tokens, Tensor.None, dTable, 1, 1, dTable.Shape.Last);
        if (!dPositionTable.IsNone) AddRows(dy, positions, Tensor.None, dPositionTable, 1, 1, dTable.Shape.Last);
    }
}
