using System.Runtime.Intrinsics;

namespace QSharp.Kernels;

/// <summary>The turning of <see cref="Ops.Rope"/> and <see cref="Ops.KvWrite"/>, which must agree to the bit.</summary>
internal static unsafe class Rotation
{
    /// <summary>Turns the first heads of a row in place, and the moved ones behind them into <paramref name="to"/>.</summary>
    /// <param name="position">Negative for the inverse.</param>
    public static void Turn(float* row, int heads, int moved, float* to, int headDim, double position, float* frequencies)
    {
        float* from = row + (nint)heads * headDim;
        int i = 0;
        // In float64, where position · frequency is exact: at position 131,072 a float's angle would be off by 0.01.
        for (; i + 8 <= headDim / 2; i += 8)
        {
            (Vector256<double> low, Vector256<double> high) = Vector256.Widen(Vector256.Load(frequencies + i));
            (Vector256<double> sinLow, Vector256<double> cosLow) = Vector256.SinCos(low * position);
            (Vector256<double> sinHigh, Vector256<double> cosHigh) = Vector256.SinCos(high * position);
            Vector256<float> sin = Vector256.Narrow(sinLow, sinHigh), cos = Vector256.Narrow(cosLow, cosHigh);
            Turn(row + i, row + i, heads, headDim, sin, cos);
            Turn(from + i, to + i, moved, headDim, sin, cos);
        }
        for (; i < headDim / 2; i++)
        {
            (double sin, double cos) = Math.SinCos(frequencies[i] * position);
            Turn(row + i, row + i, heads, headDim, (float)sin, (float)cos);
            Turn(from + i, to + i, moved, headDim, (float)sin, (float)cos);
        }
    }

    private static void Turn(float* from, float* to, int heads, int headDim, Vector256<float> sin, Vector256<float> cos)
    {
        for (int head = 0; head < heads; head++, from += headDim, to += headDim)
        {
            Vector256<float> a = Vector256.Load(from), b = Vector256.Load(from + headDim / 2);
            Vector256.MultiplyAddEstimate(a, cos, -(b * sin)).Store(to);
            Vector256.MultiplyAddEstimate(b, cos, a * sin).Store(to + headDim / 2);
        }
    }

    private static void Turn(float* from, float* to, int heads, int headDim, float sin, float cos)
    {
        for (int head = 0; head < heads; head++, from += headDim, to += headDim)
        {
            float a = from[0], b = from[headDim / 2];
            (to[0], to[headDim / 2]) = (a * cos - b * sin, b * cos + a * sin);
        }
    }
}
