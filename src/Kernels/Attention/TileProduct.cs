using System.Runtime.Intrinsics;

namespace QSharp.Kernels;

/// <summary>
/// C = A·B (or C += A·B) for the small, strided matrices inside attention. A is read one element at a time, so it may lie
/// either way round; rows of B and C are contiguous. Four rows by sixteen columns of C stay in registers.
/// </summary>
internal static unsafe class TileProduct
{
    /// <param name="a">[rows, depth]; element (i, k) at i · rowStride + k · depthStride.</param>
    /// <param name="b">[depth, columns], rows bStride apart.</param>
    /// <param name="c">[rows, columns], rows cStride apart.</param>
    /// <param name="adds">Whether C keeps what it holds.</param>
    public static void Multiply(
        float* a, nint rowStride, nint depthStride, float* b, nint bStride, float* c, nint cStride,
        int rows, int depth, int columns, bool adds)
    {
        for (int i = 0; i < rows; i += 4)
        {
            // In a last, shorter group the missing rows repeat the last one: they are computed again and stored again, the same.
            int last = rows - i - 1;
            nint r1 = Math.Min(1, last), r2 = Math.Min(2, last), r3 = Math.Min(3, last);
            float* aRow = a + i * rowStride;
            float* cRow = c + i * cStride;
            FourRows(
                aRow, aRow + r1 * rowStride, aRow + r2 * rowStride, aRow + r3 * rowStride, depthStride, b, bStride,
                cRow, cRow + r1 * cStride, cRow + r2 * cStride, cRow + r3 * cStride, depth, columns, adds);
        }
    }

    private static void FourRows(
        float* a0, float* a1, float* a2, float* a3, nint depthStride, float* b, nint bStride,
        float* c0, float* c1, float* c2, float* c3, int depth, int columns, bool adds)
    {
        int j = 0;
        for (; j + 16 <= columns; j += 16)
        {
            Vector256<float> x0 = default, x1 = default, x2 = default, x3 = default;
            Vector256<float> y0 = default, y1 = default, y2 = default, y3 = default;
            if (adds)
            {
                x0 = Vector256.Load(c0 + j);
                x1 = Vector256.Load(c1 + j);
                x2 = Vector256.Load(c2 + j);
                x3 = Vector256.Load(c3 + j);
                y0 = Vector256.Load(c0 + j + 8);
                y1 = Vector256.Load(c1 + j + 8);
                y2 = Vector256.Load(c2 + j + 8);
                y3 = Vector256.Load(c3 + j + 8);
            }
            float* row = b + j;
            nint at = 0;
            for (int k = 0; k < depth; k++, at += depthStride, row += bStride)
            {
                Vector256<float> left = Vector256.Load(row), right = Vector256.Load(row + 8);
                Vector256<float> e = Vector256.Create(a0[at]);
                x0 = Vector256.MultiplyAddEstimate(e, left, x0);
                y0 = Vector256.MultiplyAddEstimate(e, right, y0);
                e = Vector256.Create(a1[at]);
                x1 = Vector256.MultiplyAddEstimate(e, left, x1);
                y1 = Vector256.MultiplyAddEstimate(e, right, y1);
                e = Vector256.Create(a2[at]);
                x2 = Vector256.MultiplyAddEstimate(e, left, x2);
                y2 = Vector256.MultiplyAddEstimate(e, right, y2);
                e = Vector256.Create(a3[at]);
                x3 = Vector256.MultiplyAddEstimate(e, left, x3);
                y3 = Vector256.MultiplyAddEstimate(e, right, y3);
            }
            x0.Store(c0 + j);
            y0.Store(c0 + j + 8);
            x1.Store(c1 + j);
            y1.Store(c1 + j + 8);
            x2.Store(c2 + j);
            y2.Store(c2 + j + 8);
            x3.Store(c3 + j);
            y3.Store(c3 + j + 8);
        }
        if (j + 8 <= columns)
        {
            Vector256<float> x0 = default, x1 = default, x2 = default, x3 = default;
            if (adds)
            {
                x0 = Vector256.Load(c0 + j);
                x1 = Vector256.Load(c1 + j);
                x2 = Vector256.Load(c2 + j);
                x3 = Vector256.Load(c3 + j);
            }
            float* row = b + j;
            nint at = 0;
            for (int k = 0; k < depth; k++, at += depthStride, row += bStride)
            {
                Vector256<float> left = Vector256.Load(row);
                x0 = Vector256.MultiplyAddEstimate(Vector256.Create(a0[at]), left, x0);
                x1 = Vector256.MultiplyAddEstimate(Vector256.Create(a1[at]), left, x1);
                x2 = Vector256.MultiplyAddEstimate(Vector256.Create(a2[at]), left, x2);
                x3 = Vector256.MultiplyAddEstimate(Vector256.Create(a3[at]), left, x3);
            }
            x0.Store(c0 + j);
            x1.Store(c1 + j);
            x2.Store(c2 + j);
            x3.Store(c3 + j);
            j += 8;
        }
        for (; j < columns; j++)
        {
            float x0 = 0, x1 = 0, x2 = 0, x3 = 0;
            if (adds)
            {
                x0 = c0[j];
                x1 = c1[j];
                x2 = c2[j];
                x3 = c3[j];
            }
            nint at = 0, row = j;
            for (int k = 0; k < depth; k++, at += depthStride, row += bStride)
            {
                x0 += a0[at] * b[row];
                x1 += a1[at] * b[row];
                x2 += a2[at] * b[row];
                x3 += a3[at] * b[row];
            }
            c0[j] = x0;
            c1[j] = x1;
            c2[j] = x2;
            c3[j] = x3;
        }
    }
}
