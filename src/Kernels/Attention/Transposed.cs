using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace QSharp.Kernels;

/// <summary>Queries turned so that eight of them lie side by side.</summary>
internal static unsafe class Transposed
{
    private const int Stride = AttentionHead.QueryTile;

    /// <summary>to[d, t] = factor · rows[t, d]; 0 for t from count up to a multiple of eight. Rows of to are QueryTile apart.</summary>
    public static void Copy(float* rows, nint rowStride, int count, int columns, float factor, float* to)
    {
        int t = 0, d;
        for (; t + 8 <= count; t += 8)
        {
            float* row = rows + t * rowStride;
            for (d = 0; Avx.IsSupported && d + 8 <= columns; d += 8) EightByEight(row + d, rowStride, factor, to + d * Stride + t);
            for (; d < columns; d++)
            {
                for (int i = 0; i < 8; i++) to[d * Stride + t + i] = factor * row[i * rowStride + d];
            }
        }
        if (t == count) return;
        for (d = 0; d < columns; d++)
        {
            float* at = to + d * Stride + t;
            Vector256<float>.Zero.Store(at);
            for (int i = 0; i < count - t; i++) at[i] = factor * rows[(t + i) * rowStride + d];
        }
    }

    private static void EightByEight(float* rows, nint stride, float factor, float* to)
    {
        Vector256<float> r0 = factor * Vector256.Load(rows), r1 = factor * Vector256.Load(rows + stride);
        Vector256<float> r2 = factor * Vector256.Load(rows + 2 * stride), r3 = factor * Vector256.Load(rows + 3 * stride);
        Vector256<float> r4 = factor * Vector256.Load(rows + 4 * stride), r5 = factor * Vector256.Load(rows + 5 * stride);
        Vector256<float> r6 = factor * Vector256.Load(rows + 6 * stride), r7 = factor * Vector256.Load(rows + 7 * stride);
        // Pairs of rows, then fours, within each half; then the halves.
        Vector256<float> a0 = Avx.UnpackLow(r0, r1), a1 = Avx.UnpackHigh(r0, r1), a2 = Avx.UnpackLow(r2, r3), a3 = Avx.UnpackHigh(r2, r3);
        Vector256<float> a4 = Avx.UnpackLow(r4, r5), a5 = Avx.UnpackHigh(r4, r5), a6 = Avx.UnpackLow(r6, r7), a7 = Avx.UnpackHigh(r6, r7);
        const byte Low = 0x44, High = 0xEE;
        r0 = Avx.Shuffle(a0, a2, Low);
        r1 = Avx.Shuffle(a0, a2, High);
        r2 = Avx.Shuffle(a1, a3, Low);
        r3 = Avx.Shuffle(a1, a3, High);
        r4 = Avx.Shuffle(a4, a6, Low);
        r5 = Avx.Shuffle(a4, a6, High);
        r6 = Avx.Shuffle(a5, a7, Low);
        r7 = Avx.Shuffle(a5, a7, High);
        const byte Lower = 0x20, Upper = 0x31;
        Avx.Permute2x128(r0, r4, Lower).Store(to);
        Avx.Permute2x128(r1, r5, Lower).Store(to + Stride);
        Avx.Permute2x128(r2, r6, Lower).Store(to + 2 * Stride);
        Avx.Permute2x128(r3, r7, Lower).Store(to + 3 * Stride);
        Avx.Permute2x128(r0, r4, Upper).Store(to + 4 * Stride);
        Avx.Permute2x128(r1, r5, Upper).Store(to + 5 * Stride);
        Avx.Permute2x128(r2, r6, Upper).Store(to + 6 * Stride);
        Avx.Permute2x128(r3, r7, Upper).Store(to + 7 * Stride);
    }
}
