using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace QSharp.Kernels;

/// <summary>
/// C = A·Bᵀ + bias for a few rows of A, as dot products along K of vectors read where they lie: B is read once and nothing
/// is packed, so that a matrix times a vector costs what reading the matrix costs.
/// </summary>
internal static unsafe class GemmDot
{
    /// <summary>Most rows that are dotted at a time: 4 × 4 accumulators.</summary>
    public const int Rows = 4;

    /// <summary>Columns <paramref name="column"/> … <paramref name="end"/> − 1 of C.</summary>
    public static void Run(in GemmProduct product, int column, int end)
    {
        for (int row = 0; row < product.M; row += Rows)
            switch (Math.Min(product.M - row, Rows))
            {
                case 1: Run<Const1>(product, row, column, end); break;
                case 2: Run<Const2>(product, row, column, end); break;
                case 3: Run<Const3>(product, row, column, end); break;
                default: Run<Const4>(product, row, column, end); break;
            }
    }

    private static void Run<TRows>(in GemmProduct product, int row, int column, int end) where TRows : IConst
    {
        for (; column + 4 <= end; column += 4) Block<TRows, Const4>(product, row, column);
        for (; column < end; column++) Block<TRows, Const1>(product, row, column);
    }

    private static void Block<TRows, TColumns>(in GemmProduct product, int row, int column) where TRows : IConst where TColumns : IConst
    {
        nint aRow = product.ARow, bRow = product.BRow;
        float* a = product.A + row * aRow, b = product.B + column * bRow;
        Vector256<float> c00 = default, c01 = default, c02 = default, c03 = default;
        Vector256<float> c10 = default, c11 = default, c12 = default, c13 = default;
        Vector256<float> c20 = default, c21 = default, c22 = default, c23 = default;
        Vector256<float> c30 = default, c31 = default, c32 = default, c33 = default;
        int k = product.K;
        for (; k >= 8; k -= 8, a += 8, b += 8)
        {
            Vector256<float> b0 = Vector256.Load(b), b1 = b0, b2 = b0, b3 = b0;
            if (TColumns.Value > 1)
            {
                b1 = Vector256.Load(b + bRow);
                b2 = Vector256.Load(b + 2 * bRow);
                b3 = Vector256.Load(b + 3 * bRow);
            }
            Add<TColumns>(Vector256.Load(a), b0, b1, b2, b3, ref c00, ref c01, ref c02, ref c03);
            if (TRows.Value > 1) Add<TColumns>(Vector256.Load(a + aRow), b0, b1, b2, b3, ref c10, ref c11, ref c12, ref c13);
            if (TRows.Value > 2) Add<TColumns>(Vector256.Load(a + 2 * aRow), b0, b1, b2, b3, ref c20, ref c21, ref c22, ref c23);
            if (TRows.Value > 3) Add<TColumns>(Vector256.Load(a + 3 * aRow), b0, b1, b2, b3, ref c30, ref c31, ref c32, ref c33);
        }
        Finish<TColumns>(product, row, column, a, b, k, c00, c01, c02, c03);
        if (TRows.Value > 1) Finish<TColumns>(product, row + 1, column, a + aRow, b, k, c10, c11, c12, c13);
        if (TRows.Value > 2) Finish<TColumns>(product, row + 2, column, a + 2 * aRow, b, k, c20, c21, c22, c23);
        if (TRows.Value > 3) Finish<TColumns>(product, row + 3, column, a + 3 * aRow, b, k, c30, c31, c32, c33);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add<TColumns>(
        Vector256<float> a, Vector256<float> b0, Vector256<float> b1, Vector256<float> b2, Vector256<float> b3,
        ref Vector256<float> c0, ref Vector256<float> c1, ref Vector256<float> c2, ref Vector256<float> c3) where TColumns : IConst
    {
        c0 = Vector256.MultiplyAddEstimate(a, b0, c0);
        if (TColumns.Value == 1) return;
        c1 = Vector256.MultiplyAddEstimate(a, b1, c1);
        c2 = Vector256.MultiplyAddEstimate(a, b2, c2);
        c3 = Vector256.MultiplyAddEstimate(a, b3, c3);
    }

    /// <summary>Sums the lanes, adds the last steps (<paramref name="k"/> of them at a and b) and the bias, and stores.</summary>
    private static void Finish<TColumns>(
        in GemmProduct product, int row, int column, float* a, float* b, int k,
        Vector256<float> c0, Vector256<float> c1, Vector256<float> c2, Vector256<float> c3) where TColumns : IConst
    {
        Store(product, row, column, Vector256.Sum(c0), a, b, k);
        if (TColumns.Value == 1) return;
        Store(product, row, column + 1, Vector256.Sum(c1), a, b + product.BRow, k);
        Store(product, row, column + 2, Vector256.Sum(c2), a, b + 2 * product.BRow, k);
        Store(product, row, column + 3, Vector256.Sum(c3), a, b + 3 * product.BRow, k);
    }

    private static void Store(in GemmProduct product, int row, int column, float sum, float* a, float* b, int k)
    {
        for (int i = 0; i < k; i++) sum += a[i] * b[i];
        if (product.Bias != null) sum += product.Bias[column];
        product.C[(nint)row * product.N + column] = sum;
    }
}
