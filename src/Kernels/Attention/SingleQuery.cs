using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace QSharp.Kernels;

/// <summary>
/// One token against the keys of one sequence: what decoding does. A vector holds eight components of a head here, since
/// there are not eight queries to lay side by side; a block of keys stays near the processor while all query heads use it.
/// </summary>
internal static unsafe class SingleQuery
{
    private const int Block = 128;

    /// <summary>Floats of scratch for this many query heads.</summary>
    public static int ScratchSize(int heads) => Block + 2 * heads;

    /// <summary>y = softmax(qKᵀ/√D)·V for the query heads of one KV head, which lie side by side, as their results do.</summary>
    /// <param name="head">Queries of the first head, keys and values.</param>
    /// <param name="token">Which query.</param>
    /// <param name="heads">How many query heads.</param>
    /// <param name="own">Where among the keys one lies that is seen besides the prefix; −1 for none.</param>
    /// <param name="y">[heads, HeadDim].</param>
    /// <param name="scratch"><see cref="ScratchSize"/> floats.</param>
    public static void Attend(in AttentionHead head, int token, int heads, nint own, float* y, float* scratch)
    {
        int dim = head.HeadDim, count = head.Visible(token);
        float* q = head.Q + token * head.QStride, maxima = scratch + Block, sums = maxima + heads;
        float scale = head.Scale;
        if (own >= 0)
        {
            for (int h = 0; h < heads; h++)
            {
                maxima[h] = scale * VectorMath.Dot(q + h * dim, head.K + own, dim);
                sums[h] = 1;
                new ReadOnlySpan<float>(head.V + own, dim).CopyTo(new Span<float>(y + h * dim, dim));
            }
        }
        else
        {
            new Span<float>(maxima, heads).Fill(float.NegativeInfinity);
            new Span<float>(sums, heads).Clear();
            new Span<float>(y, heads * dim).Clear();
        }
        for (int k0 = 0; k0 < count; k0 += Block)
        {
            int block = Math.Min(Block, count - k0);
            bool started = k0 > 0 || own >= 0;
            for (int h = 0; h < heads; h++)
            {
                Scores(q + h * dim, head.K + k0 * head.KvStride, head.KvStride, dim, scale, block, scratch);
                float before = maxima[h], largest = Largest(scratch, block, before);
                float origin = float.IsNegativeInfinity(largest) ? 0 : largest;   // else the difference would be −∞ − (−∞)
                float sum = Weights(scratch, block, origin);
                if (started)
                {
                    float factor = MathF.Exp(before - origin);
                    sum += sums[h] * factor;
                    AttentionHead.Multiply(y + h * dim, factor, dim);
                }
                maxima[h] = largest;
                sums[h] = sum;
                AddValues(head.V + k0 * head.KvStride, head.KvStride, dim, scratch, block, y + h * dim);
            }
        }
        for (int h = 0; h < heads; h++) AttentionHead.Multiply(y + h * dim, 1 / sums[h], dim);
    }

    /// <summary>q·k/√D for a block of keys; from there up to a multiple of eight −∞.</summary>
    private static void Scores(float* q, float* key, nint stride, int dim, float scale, int block, float* scores)
    {
        int s = 0;
        for (; s + 4 <= block; s += 4, key += 4 * stride)
        {
            float* k1 = key + stride, k2 = k1 + stride, k3 = k2 + stride;
            Vector256<float> a0 = default, a1 = default, a2 = default, a3 = default;
            int d = 0;
            for (; d + 8 <= dim; d += 8)
            {
                Vector256<float> part = Vector256.Load(q + d);
                a0 = Vector256.MultiplyAddEstimate(part, Vector256.Load(key + d), a0);
                a1 = Vector256.MultiplyAddEstimate(part, Vector256.Load(k1 + d), a1);
                a2 = Vector256.MultiplyAddEstimate(part, Vector256.Load(k2 + d), a2);
                a3 = Vector256.MultiplyAddEstimate(part, Vector256.Load(k3 + d), a3);
            }
            Vector128<float> sums = Sums(a0, a1, a2, a3);
            for (; d < dim; d++) sums += Vector128.Create(key[d], k1[d], k2[d], k3[d]) * q[d];
            (sums * scale).Store(scores + s);
        }
        for (; s < block; s++, key += stride) scores[s] = scale * VectorMath.Dot(q, key, dim);
        for (; (s & 7) != 0; s++) scores[s] = float.NegativeInfinity;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> Sums(Vector256<float> a0, Vector256<float> a1, Vector256<float> a2, Vector256<float> a3)
    {
        if (!Avx.IsSupported) return Vector128.Create(Vector256.Sum(a0), Vector256.Sum(a1), Vector256.Sum(a2), Vector256.Sum(a3));
        Vector256<float> halves = Avx.HorizontalAdd(Avx.HorizontalAdd(a0, a1), Avx.HorizontalAdd(a2, a3));
        return halves.GetLower() + halves.GetUpper();
    }

    private static float Largest(float* scores, int block, float before)
    {
        Vector256<float> eight = Vector256.Create(before);
        for (int s = 0; s < block; s += 8) eight = Vector256.MaxNative(eight, Vector256.Load(scores + s));
        Vector128<float> four = Vector128.MaxNative(eight.GetLower(), eight.GetUpper());
        four = Vector128.MaxNative(four, Vector128.Shuffle(four, Vector128.Create(2, 3, 0, 1)));
        return Vector128.MaxNative(four, Vector128.Shuffle(four, Vector128.Create(1, 0, 3, 2))).ToScalar();
    }

    /// <summary>Scores become weights relative to <paramref name="origin"/>; returns their sum.</summary>
    private static float Weights(float* scores, int block, float origin)
    {
        Vector256<float> sum = default;
        for (int s = 0; s < block; s += 8)
        {
            Vector256<float> weight = AttentionHead.Weight(Vector256.Load(scores + s) - Vector256.Create(origin));
            weight.Store(scores + s);
            sum += weight;
        }
        return Vector256.Sum(sum);
    }

    /// <summary>y += Σ_s weights[s]·values[s], in four sums at a time, so that additions do not wait for each other.</summary>
    private static void AddValues(float* values, nint stride, int dim, float* weights, int count, float* y)
    {
        int d = 0;
        for (; d + 16 <= dim; d += 16)
        {
            Vector256<float> a0 = Vector256.Load(y + d), b0 = Vector256.Load(y + d + 8), a1 = default, b1 = default;
            float* row = values + d;
            int s = 0;
            for (; s + 2 <= count; s += 2, row += 2 * stride)
            {
                Vector256<float> w0 = Vector256.Create(weights[s]), w1 = Vector256.Create(weights[s + 1]);
                a0 = Vector256.MultiplyAddEstimate(w0, Vector256.Load(row), a0);
                b0 = Vector256.MultiplyAddEstimate(w0, Vector256.Load(row + 8), b0);
                a1 = Vector256.MultiplyAddEstimate(w1, Vector256.Load(row + stride), a1);
                b1 = Vector256.MultiplyAddEstimate(w1, Vector256.Load(row + stride + 8), b1);
            }
            if (s < count)
            {
                a0 = Vector256.MultiplyAddEstimate(Vector256.Create(weights[s]), Vector256.Load(row), a0);
                b0 = Vector256.MultiplyAddEstimate(Vector256.Create(weights[s]), Vector256.Load(row + 8), b0);
            }
            (a0 + a1).Store(y + d);
            (b0 + b1).Store(y + d + 8);
        }
        for (; d + 8 <= dim; d += 8)
        {
            Vector256<float> sum = Vector256.Load(y + d);
            for (int s = 0; s < count; s++)
                sum = Vector256.MultiplyAddEstimate(Vector256.Create(weights[s]), Vector256.Load(values + s * stride + d), sum);
            sum.Store(y + d);
        }
        for (; d < dim; d++)
        {
            float sum = y[d];
            for (int s = 0; s < count; s++) sum += weights[s] * values[s * stride + d];
            y[d] = sum;
        }
    }
}
