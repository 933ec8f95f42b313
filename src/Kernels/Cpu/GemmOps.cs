using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

using QSharp.Engine;

namespace QSharp.Kernels;

public sealed unsafe partial class CpuOps
{
    // Below this many multiply-adds a product is done before a second thread has begun.
    private const long SerialMultiplyAdds = 200_000;

    private const int FewestStreamedBytes = 1 << 16;

    private readonly GemmWorkspace _gemm = new(device.Workers.Threads);

    /// <summary>The kernel in use.</summary>
    internal GemmPath GemmPath { get; set; } =
        Vector512.IsHardwareAccelerated && Avx512F.IsSupported ? GemmPath.Vector512
        : Avx2.IsSupported && Fma.IsSupported ? GemmPath.Vector256
        : GemmPath.Any;

    /// <summary>Does two products and a column sum, none of which reads what another writes, as one loop.</summary>
    private void Multiply(in GemmProduct first, in GemmProduct second, in ColumnSum sum)
    {
        switch (GemmPath)
        {
            case GemmPath.Vector512:
                Multiply<GemmKernel512>(first, second, sum);
                return;
            case GemmPath.Vector256:
                Multiply<GemmKernel256>(first, second, sum);
                return;
            default:
                Multiply<GemmKernelAny>(first, second, sum);
                return;
        }
    }

    private void Multiply<TKernel>(in GemmProduct first, in GemmProduct second, in ColumnSum sum) where TKernel : struct, IGemmKernel
    {
        GemmWork<TKernel> work = new(first, second, sum, _gemm.Panels);
        _workers.For(work.Items, first.MultiplyAdds + second.MultiplyAdds < SerialMultiplyAdds ? int.MaxValue : 1, work);
        GC.KeepAlive(_gemm);   // its memory was in use until here
    }

    /// <summary>A product for few rows; see <see cref="DotProduct"/>.</summary>
    private void Dot(in DotProduct product, bool isBFloat16)
    {
        if (product.Rows == 0) return;
        bool wide = GemmPath == GemmPath.Vector512;
        if (isBFloat16 && wide) Dot(product, sizeof(BF16Element), new DotWork<BF16Element, Vector512<float>, Lanes512>(product));
        else if (isBFloat16) Dot(product, sizeof(BF16Element), new DotWork<BF16Element, Vector256<float>, Lanes256>(product));
        else if (wide) Dot(product, sizeof(F32Element), new DotWork<F32Element, Vector512<float>, Lanes512>(product));
        else Dot(product, sizeof(F32Element), new DotWork<F32Element, Vector256<float>, Lanes256>(product));
    }

    /// <summary>Helpings of neighbouring weights, eight a thread so that threads end together, but none too short to stream.</summary>
    private void Dot<TWork>(in DotProduct product, int elementSize, in TWork work) where TWork : unmanaged, IWork
    {
        long multiplyAdds = (long)product.Rows * product.Outputs * product.Inputs;
        int grain = Math.Max(product.Outputs / (8 * _workers.Threads), Grain((long)product.Inputs * elementSize, FewestStreamedBytes));
        _workers.For(product.Outputs, multiplyAdds < SerialMultiplyAdds ? int.MaxValue : grain, work);
    }

    private readonly struct GemmWork<TKernel>(in GemmProduct first, in GemmProduct second, in ColumnSum sum, float* panels) : IWork
        where TKernel : struct, IGemmKernel
    {
        private readonly GemmProduct _first = first;
        private readonly GemmProduct _second = second;
        private readonly ColumnSum _sum = sum;
        private readonly GemmCut _firstCut = first.Cut<TKernel>();
        private readonly GemmCut _secondCut = second.Cut<TKernel>();
        private readonly float* _panels = panels;

        public int Items => _firstCut.Items + _secondCut.Items + _sum.Items;

        public void Run(int begin, int end, int worker)
        {
            float* panel = GemmWorkspace.PanelOf(_panels, worker);
            int firsts = _firstCut.Items, products = firsts + _secondCut.Items;
            for (int item = begin; item < end; item++)
            {
                if (item < firsts) _first.Run<TKernel>(item, _firstCut, panel);
                else if (item < products) _second.Run<TKernel>(item - firsts, _secondCut, panel);
                else _sum.Run(item - products);
            }
        }
    }
}

/// <summary>sums[j] += Σᵢ x[i, j], blocks of rows first and then their sums, both in order.</summary>
internal readonly unsafe struct ColumnSum(float* x, int rows, int columns, float* sums)
{
    private const int ColumnsPerItem = 32;
    private const int RowsPerBlock = 128;   // short sums lose fewer bits

    public int Items => rows == 0 ? 0 : (columns + ColumnsPerItem - 1) / ColumnsPerItem;

    public void Run(int item)
    {
        int j = item * ColumnsPerItem, end = Math.Min(j + ColumnsPerItem, columns);
        if (end - j == ColumnsPerItem)
        {
            SumWide(j);
            return;
        }
        for (; j + 8 <= end; j += 8) Sum8(j);
        for (; j < end; j++) Sum1(j);
    }

    private void SumWide(int column)
    {
        for (int i = 0; i < rows; i += RowsPerBlock)
        {
            Vector256<float> s0 = default, s1 = default, s2 = default, s3 = default;
            float* row = x + (nint)i * columns + column;
            for (int r = Math.Min(RowsPerBlock, rows - i); r > 0; r--, row += columns)
            {
                s0 += Vector256.Load(row);
                s1 += Vector256.Load(row + 8);
                s2 += Vector256.Load(row + 16);
                s3 += Vector256.Load(row + 24);
            }
            float* sum = sums + column;
            (Vector256.Load(sum) + s0).Store(sum);
            (Vector256.Load(sum + 8) + s1).Store(sum + 8);
            (Vector256.Load(sum + 16) + s2).Store(sum + 16);
            (Vector256.Load(sum + 24) + s3).Store(sum + 24);
        }
    }

    private void Sum8(int column)
    {
        for (int i = 0; i < rows; i += RowsPerBlock)
        {
            Vector256<float> even = default, odd = default;
            float* row = x + (nint)i * columns + column;
            int r = Math.Min(RowsPerBlock, rows - i);
            for (; r > 1; r -= 2, row += 2 * columns)
            {
                even += Vector256.Load(row);
                odd += Vector256.Load(row + columns);
            }
            if (r > 0) even += Vector256.Load(row);
            (Vector256.Load(sums + column) + (even + odd)).Store(sums + column);
        }
    }

    private void Sum1(int column)
    {
        for (int i = 0; i < rows; i += RowsPerBlock)
        {
            float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
            float* row = x + (nint)i * columns + column;
            int r = Math.Min(RowsPerBlock, rows - i);
            for (; r > 3; r -= 4, row += 4 * columns)
            {
                s0 += *row;
                s1 += row[columns];
                s2 += row[2 * columns];
                s3 += row[3 * columns];
            }
            for (; r > 0; r--, row += columns) s0 += *row;
            sums[column] += (s0 + s1) + (s2 + s3);
        }
    }
}
