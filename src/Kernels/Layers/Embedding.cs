using System.Runtime.Intrinsics;

using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>y[n] = table[tokens[n]] + positionTable[positions[n]]; without the second term where positions are None.</summary>
    /// <param name="tokens">[N] I32, from 0 to V − 1. The CPU twin throws on any other id, before it writes anything; CUDA makes its row NaN.</param>
    /// <param name="table">[V, C], F32 or BF16.</param>
    /// <param name="positions">[N] I32, from 0 to P − 1, or None (models that rotate their queries and keys instead).</param>
    /// <param name="positionTable">[P, C], of the table's type, or None together with the positions.</param>
    /// <param name="y">[N, C].</param>
    public void Embedding(Tensor tokens, Tensor table, Tensor positions, Tensor positionTable, Tensor y)
    {
        int rows = checked((int)tokens.Count), columns = table.Shape.Last;
        Require(tokens, rows, DType.I32);
        RequireWeight(table, table.Shape.Rows, columns);
        Require(positions.IsNone == positionTable.IsNone, "positions and positionTable are both given or both None.");
        if (!positions.IsNone)
        {
            Require(positions, rows, DType.I32);
            Require(positionTable, positionTable.Shape.Rows, columns, table.DType);
        }
        Require(y, rows, columns, TypeOf(y));
        using OpSpan traced = Traced(tokens, table, positions, positionTable);
        EmbeddingCore(tokens, table, positions, positionTable, y);
    }

    /// <summary>dTable[tokens[n]] += dy[n] and dPositionTable[positions[n]] += dy[n], in the order of n.</summary>
    /// <param name="dy">[N, C].</param>
    /// <param name="tokens">[N] I32.</param>
    /// <param name="positions">[N] I32; not read where dPositionTable is None.</param>
    /// <param name="dTable">[V, C], F32; adds. An id outside of it is refused by the CPU twin and passed over by CUDA.</param>
    /// <param name="dPositionTable">[P, C]; adds. None: no gradient of the positions is wanted.</param>
    public void EmbeddingBackward(Tensor dy, Tensor tokens, Tensor positions, Tensor dTable, Tensor dPositionTable)
    {
        int rows = checked((int)tokens.Count), columns = dTable.Shape.Last;
        Require(dy, rows, columns, TypeOf(dy));
        Require(tokens, rows, DType.I32);
        Require(dTable, dTable.Shape.Rows, columns);
        if (!dPositionTable.IsNone)
        {
            Require(positions, rows, DType.I32);
            Require(dPositionTable, dPositionTable.Shape.Rows, columns);
        }
        using OpSpan traced = Traced(dy, tokens, positions, dTable);
        EmbeddingBackwardCore(dy, tokens, positions, dTable, dPositionTable);
    }

    private protected abstract void EmbeddingCore(Tensor tokens, Tensor table, Tensor positions, Tensor positionTable, Tensor y);

    private protected abstract void EmbeddingBackwardCore(Tensor dy, Tensor tokens, Tensor positions, Tensor dTable, Tensor dPositionTable);
}

public sealed unsafe partial class CpuOps
{
    private protected override void EmbeddingCore(Tensor tokens, Tensor table, Tensor positions, Tensor positionTable, Tensor y)
    {
        RequireRows(tokens, table.Shape.Rows, nameof(Embedding), "token");
        RequireRows(positions, positionTable.IsNone ? 0 : positionTable.Shape.Rows, nameof(Embedding), "position");
        int columns = table.Shape.Last;
        _workers.For((int)tokens.Count, Grain(16 + columns), new EmbeddingWork(
            tokens.Ints(), new Table(table), positions.Ints(), new Table(positionTable), y.Floats(), columns));
    }

    private protected override void EmbeddingBackwardCore(Tensor dy, Tensor tokens, Tensor positions, Tensor dTable, Tensor dPositionTable)
    {
        RequireRows(tokens, dTable.Shape.Rows, nameof(EmbeddingBackward), "token");
        if (!dPositionTable.IsNone) RequireRows(positions, dPositionTable.Shape.Rows, nameof(EmbeddingBackward), "position");
        AddRows(dy, tokens, dTable, dTable.Shape.Last);
        if (!dPositionTable.IsNone) AddRows(dy, positions, dPositionTable, dTable.Shape.Last);
    }

    private readonly struct EmbeddingWork(int* tokens, Table table, int* positions, Table positionTable, float* y, int columns) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            for (int n = begin; n < end; n++)
            {
                float* to = y + (long)n * columns;
                table.Copy(tokens[n], columns, to);
                if (positions is not null) positionTable.Add(positions[n], columns, to);
            }
        }
    }

    /// <summary>Rows of F32 or BF16.</summary>
    private readonly struct Table(Tensor tensor)
    {
        private readonly nint _address = tensor.Address;
        private readonly bool _isBFloat16 = tensor.DType == DType.BF16;

        public void Copy(int row, int columns, float* to)
        {
            if (_isBFloat16) Widen((BF16Element*)_address + (long)row * columns, columns, to);
            else new ReadOnlySpan<float>((float*)_address + (long)row * columns, columns).CopyTo(new Span<float>(to, columns));
        }

        public void Add(int row, int columns, float* to)
        {
            if (_isBFloat16) Add((BF16Element*)_address + (long)row * columns, columns, to);
            else Add((F32Element*)_address + (long)row * columns, columns, to);
        }

        private static void Widen(BF16Element* row, int columns, float* to)
        {
            int c = 0;
            for (; c + 8 <= columns; c += 8) BF16Element.Load8(row + c).Store(to + c);
            for (; c < columns; c++) to[c] = BF16Element.Load(row + c);
        }

        private static void Add<TElement>(TElement* row, int columns, float* to) where TElement : unmanaged, IElement<TElement>
        {
            int c = 0;
            for (; c + 8 <= columns; c += 8) (Vector256.Load(to + c) + TElement.Load8(row + c)).Store(to + c);
            for (; c < columns; c++) to[c] += TElement.Load(row + c);
        }
    }
}
