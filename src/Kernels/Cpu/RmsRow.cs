using System.Runtime.Intrinsics;

namespace QSharp.Kernels;

/// <summary>Root-mean-square normalisation of one row, whether it is a whole hidden state or one head of it.</summary>
internal static unsafe class RmsRow
{
    /// <summary>y = x·s·weight and returns s = 1/√(mean(x²) + ε); y may be x.</summary>
    public static float Normalize(float* x, float* weight, float epsilon, float* y, int columns)
    {
        float scale = 1 / MathF.Sqrt(VectorMath.Dot(x, x, columns) / columns + epsilon);
        Vector256<float> factor = Vector256.Create(scale);
        int c = 0;
        for (; c + 8 <= columns; c += 8) (Vector256.Load(x + c) * factor * Vector256.Load(weight + c)).Store(y + c);
        for (; c < columns; c++) y[c] = x[c] * scale * weight[c];
        return scale;
    }

    /// <summary>dx = (or +=) s·g − s³·x·mean(g·x) with g = dy·weight; dx may be dy where it is written.</summary>
    public static void Gradient(float* dy, float* x, float* weight, float scale, bool adds, float* dx, int columns)
    {
        Vector256<float> products = default;
        int c = 0;
        for (; c + 8 <= columns; c += 8)
        {
            Vector256<float> g = Vector256.Load(dy + c) * Vector256.Load(weight + c);
            products = Vector256.MultiplyAddEstimate(g, Vector256.Load(x + c), products);
        }
        float product = Vector256.Sum(products);
        for (; c < columns; c++) product += dy[c] * weight[c] * x[c];
        float slope = scale * scale * scale * product / columns;
        Vector256<float> scales = Vector256.Create(scale), slopes = Vector256.Create(-slope);
        for (c = 0; c + 8 <= columns; c += 8)
        {
            Vector256<float> gradient = Vector256.Load(dy + c) * Vector256.Load(weight + c) * scales;
            gradient = Vector256.MultiplyAddEstimate(slopes, Vector256.Load(x + c), gradient);
            (adds ? Vector256.Load(dx + c) + gradient : gradient).Store(dx + c);
        }
        for (; c < columns; c++) dx[c] = (adds ? dx[c] : 0) + (scale * dy[c] * weight[c] - slope * x[c]);
    }
}
