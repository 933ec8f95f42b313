using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace QSharp.Kernels;

/// <summary>
/// Softmax pieces over one row of floats. −∞ is a legal element of weight exactly 0; a NaN makes the row's sum NaN.
/// A row is summed in one fixed order, so its result does not depend on the thread that takes it.
/// </summary>
internal static unsafe class RowMath
{
    private const int Lanes = 8;
    private const int Block = 512;   // elements summed in fp32 before they join a sum in fp64

    /// <summary>The largest element; −∞ of an empty row. NaN elements may or may not be seen.</summary>
    public static float Max(float* x, int count)
    {
        // The plain maximum instruction: a NaN that it drops comes back in the sum of exponentials.
        Vector256<float> a = Vector256.Create(float.NegativeInfinity), b = a;
        int i = 0;
        for (; i + 2 * Lanes <= count; i += 2 * Lanes)
        {
            a = Vector256.MaxNative(a, Vector256.Load(x + i));
            b = Vector256.MaxNative(b, Vector256.Load(x + i + Lanes));
        }
        for (; i < count; i += Lanes) a = Vector256.MaxNative(a, Load(x + i, count - i, float.NegativeInfinity));
        a = Vector256.MaxNative(a, b);
        float max = float.NegativeInfinity;
        for (int lane = 0; lane < Lanes; lane++) max = a[lane] > max ? a[lane] : max;
        return max;
    }

    /// <summary>Σ exp(xᵢ − shift).</summary>
    public static float SumExp(float* x, int count, float shift)
    {
        Vector256<float> shifts = Vector256.Create(shift);
        double sum = 0;
        for (int begin = 0; begin < count; begin += Block)
        {
            int i = begin, stop = Math.Min(begin + Block, count);
            Vector256<float> a = default, b = default;
            for (; i + 2 * Lanes <= stop; i += 2 * Lanes)
            {
                a += VectorMath.Exp(Vector256.Load(x + i) - shifts);
                b += VectorMath.Exp(Vector256.Load(x + i + Lanes) - shifts);
            }
            for (; i < stop; i += Lanes) a += VectorMath.Exp(Load(x + i, stop - i, float.NegativeInfinity) - shifts);
            sum += Vector256.Sum(a + b);
        }
        return (float)sum;
    }

    /// <summary>Σ exp(xᵢ − shift) · vᵢ; where x is −∞ the value counts for nothing, whatever it is.</summary>
    public static float WeighedSum(float* x, float* values, int count, float shift)
    {
        Vector256<float> shifts = Vector256.Create(shift);
        double sum = 0;
        for (int begin = 0; begin < count; begin += Block)
        {
            int stop = Math.Min(begin + Block, count);
            Vector256<float> part = default;
            for (int i = begin; i < stop; i += Lanes)
            {
                Vector256<float> logits = Load(x + i, stop - i, float.NegativeInfinity);
                Vector256<float> isMasked = Vector256.Equals(logits, Vector256.Create(float.NegativeInfinity));
                part += VectorMath.Exp(logits - shifts) * Vector256.ConditionalSelect(isMasked, default, Load(values + i, stop - i, 0));
            }
            sum += Vector256.Sum(part);
        }
        return (float)sum;
    }

    /// <summary>yᵢ = scale · exp(xᵢ − shift); y may be x.</summary>
    public static void ScaledExp(float* x, int count, float shift, float scale, float* y)
    {
        Vector256<float> shifts = Vector256.Create(shift), scales = Vector256.Create(scale);
        int i = 0;
        for (; i + Lanes <= count; i += Lanes) (scales * VectorMath.Exp(Vector256.Load(x + i) - shifts)).Store(y + i);
        if (i < count) Store(scales * VectorMath.Exp(Load(x + i, count - i, 0) - shifts), y + i, count - i);
    }

    /// <summary>The next eight elements, or the last <paramref name="left"/> of them followed by <paramref name="fill"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(float* x, int left, float fill) => left >= Lanes ? Vector256.Load(x) : LoadEnd(x, left, fill);

    /// <summary>Stores eight elements, or only the first <paramref name="left"/> of them.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector256<float> value, float* y, int left)
    {
        if (left >= Lanes) value.Store(y);
        else StoreEnd(value, y, left);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Vector256<float> LoadEnd(float* x, int left, float fill)
    {
        Vector256<float> value = Vector256.Create(fill);
        for (int i = 0; i < left; i++) ((float*)&value)[i] = x[i];
        return value;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void StoreEnd(Vector256<float> value, float* y, int left)
    {
        for (int i = 0; i < left; i++) y[i] = ((float*)&value)[i];
    }
}
