using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace QSharp.Kernels;

/// <summary>
/// Elementary functions on eight floats at once, after the Cephes library: relative error a few units in the last place.
/// Vector256 is one register with AVX2 and two on machines with 128-bit registers.
/// </summary>
internal static unsafe class VectorMath
{
    private const float Log2E = 1.44269504f;
    private const float Ln2High = 0.693359375f;
    private const float Ln2Low = -2.12194440e-4f;

    /// <summary>eˣ; exactly 0 below −87.33 (so a score of −∞ has no weight), +∞ above 88.72.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Exp(Vector256<float> x)
    {
        Vector256<float> clamped = Vector256.Min(Vector256.Max(x, Vector256.Create(-87.33f)), Vector256.Create(88.72f));
        Vector256<float> n = Vector256.Round(clamped * Log2E);
        Vector256<float> r = Vector256.MultiplyAddEstimate(n, Vector256.Create(-Ln2High), clamped);
        r = Vector256.MultiplyAddEstimate(n, Vector256.Create(-Ln2Low), r);
        Vector256<float> p = Vector256.Create(1.9875691500e-4f);
        p = Vector256.MultiplyAddEstimate(p, r, Vector256.Create(1.3981999507e-3f));
        p = Vector256.MultiplyAddEstimate(p, r, Vector256.Create(8.3334519073e-3f));
        p = Vector256.MultiplyAddEstimate(p, r, Vector256.Create(4.1665795894e-2f));
        p = Vector256.MultiplyAddEstimate(p, r, Vector256.Create(1.6666665459e-1f));
        p = Vector256.MultiplyAddEstimate(p, r, Vector256.Create(5.0000001201e-1f));
        p = Vector256.MultiplyAddEstimate(p, r * r, r + Vector256<float>.One);
        // 2ⁿ in two halves, since n may be 128.
        Vector256<int> whole = Vector256.ConvertToInt32(n);
        Vector256<int> half = whole >> 1;
        Vector256<float> scale0 = ((half + Vector256.Create(127)) << 23).AsSingle();
        Vector256<float> scale1 = ((whole - half + Vector256.Create(127)) << 23).AsSingle();
        Vector256<float> result = p * scale0 * scale1;
        result = Vector256.ConditionalSelect(Vector256.LessThan(x, Vector256.Create(-87.33f)), Vector256<float>.Zero, result);
        result = Vector256.ConditionalSelect(Vector256.GreaterThan(x, Vector256.Create(88.72f)), Vector256.Create(float.PositiveInfinity), result);
        return Vector256.ConditionalSelect(Vector256.Equals(x, x), result, x);
    }

    /// <summary>ln x for x &gt; 0, subnormals taken as the least normal number; −∞ at 0, NaN below.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Log(Vector256<float> x)
    {
        Vector256<float> positive = Vector256.Max(x, Vector256.Create(1.17549435e-38f));
        Vector256<int> bits = positive.AsInt32();
        Vector256<float> e = Vector256.ConvertToSingle((bits >>> 23) - Vector256.Create(126));
        Vector256<float> m = ((bits & Vector256.Create(0x007FFFFF)) | Vector256.Create(0x3F000000)).AsSingle();   // [0.5, 1)
        Vector256<float> small = Vector256.LessThan(m, Vector256.Create(0.707106781f));
        e -= small & Vector256<float>.One;
        m += (small & m) - Vector256<float>.One;
        Vector256<float> p = Vector256.Create(7.0376836292e-2f);
        p = Vector256.MultiplyAddEstimate(p, m, Vector256.Create(-1.1514610310e-1f));
        p = Vector256.MultiplyAddEstimate(p, m, Vector256.Create(1.1676998740e-1f));
        p = Vector256.MultiplyAddEstimate(p, m, Vector256.Create(-1.2420140846e-1f));
        p = Vector256.MultiplyAddEstimate(p, m, Vector256.Create(1.4249322787e-1f));
        p = Vector256.MultiplyAddEstimate(p, m, Vector256.Create(-1.6668057665e-1f));
        p = Vector256.MultiplyAddEstimate(p, m, Vector256.Create(2.0000714765e-1f));
        p = Vector256.MultiplyAddEstimate(p, m, Vector256.Create(-2.4999993993e-1f));
        p = Vector256.MultiplyAddEstimate(p, m, Vector256.Create(3.3333331174e-1f));
        Vector256<float> square = m * m;
        Vector256<float> y = p * m * square;
        y = Vector256.MultiplyAddEstimate(e, Vector256.Create(Ln2Low), y);
        y = Vector256.MultiplyAddEstimate(square, Vector256.Create(-0.5f), y);
        Vector256<float> result = Vector256.MultiplyAddEstimate(e, Vector256.Create(Ln2High), m + y);
        result = Vector256.ConditionalSelect(Vector256.Equals(x, Vector256.Create(float.PositiveInfinity)), x, result);
        result = Vector256.ConditionalSelect(Vector256.Equals(x, Vector256<float>.Zero), Vector256.Create(float.NegativeInfinity), result);
        return Vector256.ConditionalSelect(Vector256.GreaterThanOrEqual(x, Vector256<float>.Zero), result, Vector256.Create(float.NaN));
    }

    /// <summary>tanh x by (1 − e^(−2|x|)) / (1 + e^(−2|x|)); absolute error 1e-7.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Tanh(Vector256<float> x)
    {
        Vector256<float> e = Exp(Vector256.Abs(x) * -2f);
        Vector256<float> magnitude = (Vector256<float>.One - e) / (Vector256<float>.One + e);
        return Vector256.CopySign(magnitude, x);
    }

    /// <summary>1 / (1 + e^(−x)).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Sigmoid(Vector256<float> x) => Vector256<float>.One / (Vector256<float>.One + Exp(-x));

    /// <summary>Σ aᵢ·bᵢ in a fixed order: four vector sums, then the tail.</summary>
    public static float Dot(float* a, float* b, int count) => Dot(a, (F32Element*)b, count);

    /// <inheritdoc cref="Dot(float*, float*, int)"/>
    public static float Dot<TElement>(float* a, TElement* b, int count) where TElement : unmanaged, IElement<TElement>
    {
        Vector256<float> sum0 = default, sum1 = default, sum2 = default, sum3 = default;
        int i = 0;
        for (; i + 32 <= count; i += 32)
        {
            sum0 = Vector256.MultiplyAddEstimate(Vector256.Load(a + i), TElement.Load8(b + i), sum0);
            sum1 = Vector256.MultiplyAddEstimate(Vector256.Load(a + i + 8), TElement.Load8(b + i + 8), sum1);
            sum2 = Vector256.MultiplyAddEstimate(Vector256.Load(a + i + 16), TElement.Load8(b + i + 16), sum2);
            sum3 = Vector256.MultiplyAddEstimate(Vector256.Load(a + i + 24), TElement.Load8(b + i + 24), sum3);
        }
        for (; i + 8 <= count; i += 8)
            sum0 = Vector256.MultiplyAddEstimate(Vector256.Load(a + i), TElement.Load8(b + i), sum0);
        float total = Vector256.Sum(sum0 + sum1 + (sum2 + sum3));
        for (; i < count; i++) total += a[i] * TElement.Load(b + i);
        return total;
    }
}
