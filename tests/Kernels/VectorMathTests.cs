using System.Runtime.Intrinsics;

using QSharp.Kernels;

using Xunit;

namespace QSharp.Tests.Kernels;

/// <summary>Every 4093rd float of all, and the edges, against <see cref="Math"/> in float64.</summary>
public class VectorMathTests
{
    private const uint Stride = 4093;   // prime, so that all low bits occur

    private delegate Vector256<float> Function(Vector256<float> x);

    private delegate void Check(float x, float actual);

    [Fact]
    public void Exp_is_within_a_few_ulp_and_exactly_0_below_its_range()
    {
        ForAll(VectorMath.Exp, (x, actual) =>
        {
            if (x < -87.33f) Assert.Equal(0, actual);
            else if (x > 88.72f) Assert.Equal(float.PositiveInfinity, actual);
            else Close(x, Math.Exp(x), actual, 3);
        });
        Assert.Equal(1, One(VectorMath.Exp, 0));
        Assert.Equal(1, One(VectorMath.Exp, -0f));
        Assert.Equal(0, One(VectorMath.Exp, float.NegativeInfinity));
        Assert.Equal(float.PositiveInfinity, One(VectorMath.Exp, float.PositiveInfinity));
        Assert.True(float.IsNaN(One(VectorMath.Exp, float.NaN)));
        Assert.True(float.IsFinite(One(VectorMath.Exp, 88.72f)));
        Assert.True(One(VectorMath.Exp, -87.33f) > 1.17e-38f);
    }

    [Fact]
    public void Log_is_within_a_few_ulp_for_all_normal_numbers()
    {
        const float LeastNormal = 1.17549435e-38f;
        ForAll(VectorMath.Log, (x, actual) =>
        {
            if (x < 0) Assert.True(float.IsNaN(actual));
            else if (x < LeastNormal && x > 0) Close(x, Math.Log(LeastNormal), actual, 3);
            else if (x > 0) Close(x, Math.Log(x), actual, 3);
        });
        // Around 1, where the result is small, every float.
        for (int bits = BitConverter.SingleToInt32Bits(0.999f); bits < BitConverter.SingleToInt32Bits(1.001f); bits++)
        {
            float x = BitConverter.Int32BitsToSingle(bits);
            Close(x, Math.Log(x), One(VectorMath.Log, x), 3);
        }
        Assert.Equal(0, One(VectorMath.Log, 1));
        Assert.Equal(float.NegativeInfinity, One(VectorMath.Log, 0));
        Assert.Equal(float.NegativeInfinity, One(VectorMath.Log, -0f));
        Assert.Equal(float.PositiveInfinity, One(VectorMath.Log, float.PositiveInfinity));
        Assert.True(float.IsNaN(One(VectorMath.Log, float.NaN)));
        Assert.True(float.IsNaN(One(VectorMath.Log, float.NegativeInfinity)));
        Assert.True(float.IsNaN(One(VectorMath.Log, -float.Epsilon)));
    }

    [Fact]
    public void Tanh_is_within_1e_7()
    {
        ForAll(VectorMath.Tanh, (x, actual) => Assert.True(
            Math.Abs(Math.Tanh(x) - actual) <= 1.2e-7 && Math.Abs(actual) <= 1 && float.IsNegative(actual) == float.IsNegative(x),
            $"tanh {x:g9} is {actual:g9}"));
        Assert.Equal(1, One(VectorMath.Tanh, float.PositiveInfinity));
        Assert.Equal(-1, One(VectorMath.Tanh, float.NegativeInfinity));
        Assert.True(float.IsNaN(One(VectorMath.Tanh, float.NaN)));
    }

    [Fact]
    public void Sigmoid_is_within_a_few_ulp_where_it_is_a_normal_number()
    {
        ForAll(VectorMath.Sigmoid, (x, actual) =>
        {
            if (x < -87) Assert.InRange(actual, 0, 2e-38f);
            else Close(x, 1 / (1 + Math.Exp(-x)), actual, 4);
        });
        Assert.Equal(0.5f, One(VectorMath.Sigmoid, 0));
        Assert.Equal(1, One(VectorMath.Sigmoid, float.PositiveInfinity));
        Assert.Equal(0, One(VectorMath.Sigmoid, float.NegativeInfinity));
        Assert.True(float.IsNaN(One(VectorMath.Sigmoid, float.NaN)));
    }

    [Fact]
    public unsafe void Dot_sums_every_element_once()
    {
        float* a = stackalloc float[80], b = stackalloc float[80];
        for (int i = 0; i < 80; i++) (a[i], b[i]) = (i + 1, 1 - 2 * (i % 3));
        for (int count = 0; count <= 80; count++)
        {
            float expected = 0;
            for (int i = 0; i < count; i++) expected += a[i] * b[i];
            Assert.Equal(expected, VectorMath.Dot(a, b, count));   // small integers: exact in any order
        }
    }

    private static float One(Function function, float x) => function(Vector256.Create(x))[3];

    /// <summary>All finite floats in steps, in vectors of eight neighbours of the sample.</summary>
    private static void ForAll(Function function, Check check)
    {
        float[] x = new float[8];
        int filled = 0;
        for (ulong bits = 0; bits <= uint.MaxValue; bits += Stride)
        {
            float value = BitConverter.UInt32BitsToSingle((uint)bits);
            if (!float.IsFinite(value)) continue;
            x[filled++] = value;
            if (filled < 8) continue;
            filled = 0;
            Vector256<float> y = function(Vector256.Create(x));
            for (int i = 0; i < 8; i++) check(x[i], y[i]);
        }
    }

    private static void Close(float x, double expected, float actual, int ulps)
    {
        float size = MathF.Abs((float)expected);
        double ulp = (double)MathF.BitIncrement(size) - size;
        if (!(Math.Abs(actual - expected) <= ulps * ulp))
            Assert.Fail($"f({x:g9}) is {actual:g9}, not {expected:g9}: {Math.Abs(actual - expected) / ulp:g3} ulp");
    }
}
