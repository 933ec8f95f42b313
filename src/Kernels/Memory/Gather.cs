using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>y[n] = source[rows[n]], row by row.</summary>
    /// <param name="source">[M, C], of any type; a tensor of rank 1 is M rows of one element.</param>
    /// <param name="rows">[N] I32, each from 0 to M − 1; the CPU twin checks them.</param>
    /// <param name="y">[N, C], of the source's type.</param>
    public void Gather(Tensor source, Tensor rows, Tensor y)
    {
        int columns = RowLength(source);
        Require(source, columns == 0 ? 0 : checked((int)(source.Count / columns)), columns, source.DType);
        Require(rows, checked((int)rows.Count), DType.I32);
        Require(y, (int)rows.Count, columns, source.DType);
        using OpSpan traced = Traced(source, rows, y);
        GatherCore(source, rows, y, columns);
    }

    /// <summary>dSource[rows[n]] += dy[n]: adds, in the order of n, so that repeated rows give the same bits each time.</summary>
    /// <param name="dy">[N, C].</param>
    /// <param name="rows">[N] I32.</param>
    /// <param name="dSource">[M, C]; adds.</param>
    public void GatherBackward(Tensor dy, Tensor rows, Tensor dSource)
    {
        int columns = RowLength(dSource);
        Require(rows, checked((int)rows.Count), DType.I32);
        Require(dy, (int)rows.Count, columns, TypeOf(dSource));
        Require(dSource, checked((int)dSource.Count), TypeOf(dSource));
        using OpSpan traced = Traced(dy, rows, dSource);
        GatherBackwardCore(dy, rows, dSource, columns);
    }

    private protected abstract void GatherCore(Tensor source, Tensor rows, Tensor y, int columns);

    private protected abstract void GatherBackwardCore(Tensor dy, Tensor rows, Tensor dSource, int columns);

    private static int RowLength(Tensor table) => table.Shape.Rank <= 1 ? 1 : table.Shape.Last;
}

public sealed unsafe partial class CpuOps
{
    private protected override void GatherCore(Tensor source, Tensor rows, Tensor y, int columns)
    {
        RequireRows(rows, columns == 0 ? 0 : (int)(source.Count / columns), nameof(Gather), "row");
        _workers.For((int)rows.Count, Grain(16 + columns / 2), new GatherWork(
            (byte*)source.Address, rows.Ints(), (byte*)y.Address, columns * source.DType.Size()));
    }

    private protected override void GatherBackwardCore(Tensor dy, Tensor rows, Tensor dSource, int columns)
    {
        RequireRows(rows, columns == 0 ? 0 : (int)(dSource.Count / columns), nameof(GatherBackward), "row");
        AddRows(dy, rows, dSource, columns);
    }

    /// <summary>
    /// Row numbers come from data, and a wrong one would read or write foreign memory, so the CPU twins look at each.
    /// On the calling thread, before any work: it costs a nanosecond a row, and the caller gets the exception itself.
    /// </summary>
    private static void RequireRows(Tensor rows, int limit, string op, string what)
    {
        int* row = rows.Ints();
        int count = (int)rows.Count;
        for (int i = 0; i < count; i++)
            if ((uint)row[i] >= (uint)limit)
                throw new ArgumentException($"{op}: {what} {row[i]} at index {i} is outside of the table of {limit} rows.");
    }

    /// <summary>table[rows[n]] += dy[n], cut by columns: each element of the table is summed by one item, n in order.</summary>
    private void AddRows(Tensor dy, Tensor rows, Tensor table, int columns)
    {
        // One cache line of columns is the narrowest item without false sharing; wide rows take wider ones, to stay on a page for longer.
        int width = 16 * Math.Clamp(columns / 256, 1, 16);
        int count = (int)rows.Count;
        if (count == 0) return;
        int grain = Grain((long)count * (4 + width / 4));
        _workers.For((columns + width - 1) / width, grain, new AddRowsWork(
            dy.Floats(), rows.Ints(), count, table.Floats(), columns, width));
    }

    private readonly struct GatherWork(byte* source, int* rows, byte* y, int rowBytes) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            if (rowBytes == sizeof(int))
            {
                for (int n = begin; n < end; n++) ((int*)y)[n] = ((int*)source)[rows[n]];
                return;
            }
            for (int n = begin; n < end; n++)
                new ReadOnlySpan<byte>(source + (long)rows[n] * rowBytes, rowBytes).CopyTo(new Span<byte>(y + (long)n * rowBytes, rowBytes));
        }
    }

    private readonly struct AddRowsWork(float* dy, int* rows, int count, float* table, int columns, int width) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            for (int item = begin; item < end; item++)
            {
                int first = item * width, length = Math.Min(width, columns - first);
                for (int n = 0; n < count; n++)
                {
                    float* to = table + (long)rows[n] * columns + first;
                    AddRow(to, dy + (long)n * columns + first, to, length);
                }
            }
        }
    }
}
