using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace QSharp.Kernels;

/// <summary>
/// Copies a part of B, K steps by up to <c>width</c> columns, into a panel [K][width], the columns past the last filled
/// with zeros. Both ways of storing B are read where they lie.
/// </summary>
internal static unsafe class GemmPack
{
    /// <summary>B is [K, N]: element (k, j) lies at b[k · stride + j].</summary>
    public static void Plain(float* b, nint stride, int steps, int columns, int width, float* panel)
    {
        int whole = columns & -8;
        for (int k = 0; k < steps; k++, b += stride, panel += width)
        {
            int j = 0;
            for (; j < whole; j += 8) Vector256.Load(b + j).Store(panel + j);
            for (; j < columns; j++) panel[j] = b[j];
            for (; j < width; j++) panel[j] = 0;
        }
    }

    /// <summary>B is the transpose of [N, K]: element (k, j) lies at b[j · stride + k].</summary>
    public static void Transposed<TElement>(TElement* b, nint stride, int steps, int columns, int width, bool avx, float* panel)
        where TElement : unmanaged, IElement<TElement>
    {
        int j = 0;
        if (avx)
            for (; j + 8 <= columns; j += 8) Transposed8(b + j * stride, stride, steps, width, panel + j);
        for (; j < columns; j++)
        {
            TElement* source = b + j * stride;
            float* destination = panel + j;
            for (int k = 0; k < steps; k++, destination += width) *destination = TElement.Load(source + k);
        }
        for (; j < width; j++)
        {
            float* destination = panel + j;
            for (int k = 0; k < steps; k++, destination += width) *destination = 0;
        }
    }

    private static void Transposed8<TElement>(TElement* b, nint stride, int steps, int width, float* panel)
        where TElement : unmanaged, IElement<TElement>
    {
        int k = 0;
        TElement* b4 = b + 4 * stride;
        for (; k + 8 <= steps; k += 8, b += 8, b4 += 8)
        {
            Vector256<float> r0 = Two(b, b4), r1 = Two(b + stride, b4 + stride);
            Vector256<float> r2 = Two(b + 2 * stride, b4 + 2 * stride), r3 = Two(b + 3 * stride, b4 + 3 * stride);
            Store4(r0, r1, r2, r3, panel, width);
            panel += 4 * width;
            r0 = Two(b + 4, b4 + 4);
            r1 = Two(b + stride + 4, b4 + stride + 4);
            r2 = Two(b + 2 * stride + 4, b4 + 2 * stride + 4);
            r3 = Two(b + 3 * stride + 4, b4 + 3 * stride + 4);
            Store4(r0, r1, r2, r3, panel, width);
            panel += 4 * width;
        }
        for (; k < steps; k++, b++, b4++, panel += width)
            for (int j = 0; j < 4; j++)
            {
                panel[j] = TElement.Load(b + j * stride);
                panel[j + 4] = TElement.Load(b4 + j * stride);
            }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Two<TElement>(TElement* low, TElement* high) where TElement : unmanaged, IElement<TElement> =>
        Vector256.Create(TElement.Load4(low), TElement.Load4(high));

    /// <summary>Transposes two 4 × 4 blocks side by side.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store4(
        Vector256<float> r0, Vector256<float> r1, Vector256<float> r2, Vector256<float> r3, float* panel, int width)
    {
        Vector256<double> low01 = Avx.UnpackLow(r0, r1).AsDouble(), high01 = Avx.UnpackHigh(r0, r1).AsDouble();
        Vector256<double> low23 = Avx.UnpackLow(r2, r3).AsDouble(), high23 = Avx.UnpackHigh(r2, r3).AsDouble();
        Avx.UnpackLow(low01, low23).AsSingle().Store(panel);
        Avx.UnpackHigh(low01, low23).AsSingle().Store(panel + width);
        Avx.UnpackLow(high01, high23).AsSingle().Store(panel + 2 * width);
        Avx.UnpackHigh(high01, high23).AsSingle().Store(panel + 3 * width);
    }
}
