using System.Runtime.Intrinsics;

namespace QSharp.Kernels;

/// <summary>Sums over one row of floats, in a fixed order. −∞ entries weigh nothing.</summary>
internal static unsafe class RowMath
{
    /// <summary>The largest entry; −∞ for an empty row.</summary>
    public static float Max(float* x, int count)
    {
        int i = 0;
        float max = float.NegativeInfinity;
        if (count >= 8)
        {
            Vector256<float> best = Vector256.Load(x);
            for (i = 8; i + 8 <= count; i += 8) best = Vector256.Max(best, Vector256.Load(x + i));
            for (int lane = 0; lane < 8; lane++) max = MathF.Max(max, best[lane]);
        }
        for (; i < count; i++) max = MathF.Max(max, x[i]);
        return max;
    }

    /// <summary>Σ exp(xᵢ − shift).</summary>
    public static float SumExp(float* x, int count, float shift)
    {
        Vector256<float> sum = default, offset = Vector256.Create(shift);
        int i = 0;
        for (; i + 8 <= count; i += 8) sum += VectorMath.Exp(Vector256.Load(x + i) - offset);
        float total = Vector256.Sum(sum);
        for (; i < count; i++) total += VectorMath.Exp(Vector256.CreateScalar(x[i] - shift))[0];
        return total;
    }

    /// <summary>ln Σ exp(xᵢ); −∞ where every entry is.</summary>
    public static float LogSumExp(float* x, int count)
    {
        float max = Max(x, count);
        return float.IsNegativeInfinity(max) ? max : max + MathF.Log(SumExp(x, count, max));
    }

    /// <summary>yᵢ = scale · exp(xᵢ − shift); y may be x.</summary>
    public static void ScaledExp(float* x, float* y, int count, float shift, float scale)
    {
        Vector256<float> offset = Vector256.Create(shift);
        int i = 0;
        for (; i + 8 <= count; i += 8) (VectorMath.Exp(Vector256.Load(x + i) - offset) * scale).Store(y + i);
        for (; i < count; i++) y[i] = VectorMath.Exp(Vector256.CreateScalar(x[i] - shift))[0] * scale;
    }
}
