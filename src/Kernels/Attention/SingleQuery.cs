using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace QSharp.Kernels;

/// <summary>
/// One token against the keys of one sequence: what decoding does. A vector holds eight components of a head here, since
/// there are not eight queries to lay side by side. Two query heads go over a block of keys, and then of values, at once.
/// </summary>
internal static unsafe class SingleQuery
{
    private const int Block = 128;
    private const int PrefetchRows = 32;
    private const int LeastForPrefetch = 64;   // shorter rows cost more to ask for than to wait for

    /// <summary>Floats of scratch for this many query heads.</summary>
    public static int ScratchSize(int heads) => (Block + 2) * heads;

    /// <summary>y = softmax(qKᵀ/√D)·V for the query heads of one KV head, which lie side by side, as their results do.</summary>
    /// <param name="head">Queries of the first head, keys and values, the prompt's too.</param>
    /// <param name="token">Which query.</param>
    /// <param name="heads">How many query heads.</param>
    /// <param name="own">Where among the keys one lies that is seen besides the prefix; −1 for none.</param>
    /// <param name="y">[heads, HeadDim].</param>
    /// <param name="scratch"><see cref="ScratchSize"/> floats.</param>
    public static void Attend(in AttentionHead head, int token, int heads, nint own, float* y, float* scratch)
    {
        int dim = head.HeadDim;
        float* q = head.Q + token * head.QStride, maxima = scratch + Block * heads, sums = maxima + heads;
        if (own >= 0)
        {
            for (int h = 0; h < heads; h++)
            {
                maxima[h] = head.Scale * VectorMath.Dot(q + h * dim, head.K + own, dim);
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
        AddKeys(head, q, heads, head.PromptK, head.PromptV, head.PromptKeys, own >= 0, y, scratch);
        AddKeys(head, q, heads, head.K, head.V, head.Visible(token), own >= 0 || head.PromptKeys > 0, y, scratch);
        for (int h = 0; h < heads; h++) AttentionHead.Multiply(y + h * dim, 1 / sums[h], dim);
    }

    /// <summary>Goes on with the running softmax of every head over the first keys.</summary>
    /// <param name="started">Whether y holds anything yet.</param>
    private static void AddKeys(
        in AttentionHead head, float* q, int heads, float* firstKey, float* firstValue, int count, bool started, float* y, float* scratch)
    {
        int dim = head.HeadDim;
        float* scores = scratch, maxima = scratch + Block * heads, sums = maxima + heads;
        float scale = head.Scale;
        for (int k0 = 0; k0 < count; k0 += Block)
        {
            int block = Math.Min(Block, count - k0);
            float* keys = firstKey + k0 * head.KvStride, values = firstValue + k0 * head.KvStride;
            for (int h = 0; h < heads; h += 2)
            {
                bool prefetches = h == 0 && dim >= LeastForPrefetch;
                float* of = q + h * dim, to = scores + h * Block;
                if (h + 1 < heads) Scores<Const2>(of, keys, head.KvStride, dim, scale, block, prefetches, to);
                else Scores<Const1>(of, keys, head.KvStride, dim, scale, block, prefetches, to);
            }
            for (int h = 0; h < heads; h++)
            {
                float* weights = scores + h * Block;
                float before = maxima[h], largest = Largest(weights, block, before);
                float origin = float.IsNegativeInfinity(largest) ? 0 : largest;   // else the difference would be −∞ − (−∞)
                float sum = Weights(weights, block, origin);
                if (k0 > 0 || started)
                {
                    float factor = MathF.Exp(before - origin);
                    sum += sums[h] * factor;
                    AttentionHead.Multiply(y + h * dim, factor, dim);
                }
                maxima[h] = largest;
                sums[h] = sum;
            }
            for (int h = 0; h < heads; h += 2)
            {
                bool prefetches = h == 0 && dim >= LeastForPrefetch;
                float* weights = scores + h * Block, to = y + h * dim;
                if (h + 1 < heads) AddValues<Const2>(values, head.KvStride, dim, weights, block, prefetches, to);
                else AddValues<Const1>(values, head.KvStride, dim, weights, block, prefetches, to);
            }
        }
    }

    /// <summary>q·k/√D of one or two heads for a block of keys; from there up to a multiple of eight −∞.</summary>
    private static void Scores<THeads>(
        float* q, float* key, nint stride, int dim, float scale, int block, bool prefetches, float* scores) where THeads : IConst
    {
        int s = 0;
        for (; s + 4 <= block; s += 4, key += 4 * stride)
        {
            float* k1 = key + stride, k2 = k1 + stride, k3 = k2 + stride;
            if (prefetches)
                for (int ahead = PrefetchRows; ahead < PrefetchRows + 4; ahead++) Prefetch(key + ahead * stride, dim);
            Vector256<float> a0 = default, a1 = default, a2 = default, a3 = default;
            Vector256<float> b0 = default, b1 = default, b2 = default, b3 = default;
            int d = 0;
            for (; d + 8 <= dim; d += 8)
            {
                Vector256<float> part0 = Vector256.Load(key + d), part1 = Vector256.Load(k1 + d);
                Vector256<float> part2 = Vector256.Load(k2 + d), part3 = Vector256.Load(k3 + d);
                Add(Vector256.Load(q + d), part0, part1, part2, part3, ref a0, ref a1, ref a2, ref a3);
                if (THeads.Value > 1) Add(Vector256.Load(q + dim + d), part0, part1, part2, part3, ref b0, ref b1, ref b2, ref b3);
            }
            Vector128<float> first = Lanes256.Sums(a0, a1, a2, a3), second = THeads.Value > 1 ? Lanes256.Sums(b0, b1, b2, b3) : default;
            for (; d < dim; d++)
            {
                Vector128<float> parts = Vector128.Create(key[d], k1[d], k2[d], k3[d]);
                first += parts * q[d];
                if (THeads.Value > 1) second += parts * q[dim + d];
            }
            (first * scale).Store(scores + s);
            if (THeads.Value > 1) (second * scale).Store(scores + Block + s);
        }
        for (; s < block; s++, key += stride)
            for (int h = 0; h < THeads.Value; h++) scores[h * Block + s] = scale * VectorMath.Dot(q + h * dim, key, dim);
        for (; (s & 7) != 0; s++)
            for (int h = 0; h < THeads.Value; h++) scores[h * Block + s] = float.NegativeInfinity;
    }

    /// <summary>
    /// Rows of one KV head lie apart, with those of the others between them, which the processor's own prefetching does not
    /// follow. Past the last row it is wasted and harmless.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Prefetch(float* row, int dim)
    {
        if (!Sse.IsSupported) return;
        for (int d = 0; d < dim; d += 16) Sse.Prefetch0(row + d);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add(
        Vector256<float> q, Vector256<float> k0, Vector256<float> k1, Vector256<float> k2, Vector256<float> k3,
        ref Vector256<float> s0, ref Vector256<float> s1, ref Vector256<float> s2, ref Vector256<float> s3)
    {
        s0 = Vector256.MultiplyAddEstimate(q, k0, s0);
        s1 = Vector256.MultiplyAddEstimate(q, k1, s1);
        s2 = Vector256.MultiplyAddEstimate(q, k2, s2);
        s3 = Vector256.MultiplyAddEstimate(q, k3, s3);
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

    /// <summary>
    /// y += Σ_s weights[s]·values[s] of one or two heads, even and odd s apart, so that additions do not wait for each other.
    /// </summary>
    private static void AddValues<THeads>(
        float* values, nint stride, int dim, float* weights, int count, bool prefetches, float* y) where THeads : IConst
    {
        int d = 0;
        for (; d + 16 <= dim; d += 16)
        {
            float* row = values + d, y0 = y + d, y1 = y0 + dim;
            Vector256<float> a0 = Vector256.Load(y0), a1 = Vector256.Load(y0 + 8), a2 = default, a3 = default;
            Vector256<float> b0 = default, b1 = default, b2 = default, b3 = default;
            if (THeads.Value > 1) (b0, b1) = (Vector256.Load(y1), Vector256.Load(y1 + 8));
            int s = 0;
            for (; s + 2 <= count; s += 2, row += 2 * stride)
            {
                if (prefetches && d == 0)
                {
                    Prefetch(row + PrefetchRows * stride, dim);
                    Prefetch(row + (PrefetchRows + 1) * stride, dim);
                }
                Vector256<float> v0 = Vector256.Load(row), v1 = Vector256.Load(row + 8);
                Vector256<float> v2 = Vector256.Load(row + stride), v3 = Vector256.Load(row + stride + 8);
                AddPair(weights + s, v0, v1, v2, v3, ref a0, ref a1, ref a2, ref a3);
                if (THeads.Value > 1) AddPair(weights + Block + s, v0, v1, v2, v3, ref b0, ref b1, ref b2, ref b3);
            }
            for (; s < count; s++, row += stride)
            {
                Vector256<float> v0 = Vector256.Load(row), v1 = Vector256.Load(row + 8);
                AddOne(weights[s], v0, v1, ref a0, ref a1);
                if (THeads.Value > 1) AddOne(weights[Block + s], v0, v1, ref b0, ref b1);
            }
            (a0 + a2).Store(y0);
            (a1 + a3).Store(y0 + 8);
            if (THeads.Value == 1) continue;
            (b0 + b2).Store(y1);
            (b1 + b3).Store(y1 + 8);
        }
        for (; d < dim; d++)
            for (int h = 0; h < THeads.Value; h++)
            {
                float sum = y[h * dim + d];
                for (int s = 0; s < count; s++) sum += weights[h * Block + s] * values[s * stride + d];
                y[h * dim + d] = sum;
            }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddPair(
        float* weights, Vector256<float> v0, Vector256<float> v1, Vector256<float> v2, Vector256<float> v3,
        ref Vector256<float> s0, ref Vector256<float> s1, ref Vector256<float> s2, ref Vector256<float> s3)
    {
        AddOne(weights[0], v0, v1, ref s0, ref s1);
        AddOne(weights[1], v2, v3, ref s2, ref s3);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddOne(float weight, Vector256<float> v0, Vector256<float> v1, ref Vector256<float> s0, ref Vector256<float> s1)
    {
        Vector256<float> weights = Vector256.Create(weight);
        s0 = Vector256.MultiplyAddEstimate(weights, v0, s0);
        s1 = Vector256.MultiplyAddEstimate(weights, v1, s1);
    }
}
