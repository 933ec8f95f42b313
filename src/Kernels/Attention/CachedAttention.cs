using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>
    /// Attention of S new tokens a row to the cache, whose columns lengths[r] + s hold their own keys and values
    /// (<see cref="KvWrite"/> comes first). Token s sees columns 0 … lengths[r] − 1 and, by the layout, of the new ones:
    /// those up to its own, all counts[r], or its own only. The formula is that of <see cref="Attention"/>.
    /// </summary>
    /// <param name="qkv">[R·S, (H + 2G)·D], of which the queries are read.</param>
    /// <param name="keys">[R, P, G·D].</param>
    /// <param name="values">[R, P, G·D].</param>
    /// <param name="lengths">[R] I32: columns in use before these tokens.</param>
    /// <param name="counts">[R] I32 or None: how many of a row's tokens are real, the first ones; None means all.</param>
    /// <param name="heads">H.</param>
    /// <param name="kvHeads">G.</param>
    /// <param name="layout">What the new tokens see of each other.</param>
    /// <param name="y">[R·S, H·D]; 0 for tokens s ≥ counts[r].</param>
    public void CachedAttention(
        Tensor qkv, Tensor keys, Tensor values, Tensor lengths, Tensor counts, int heads, int kvHeads, CacheLayout layout, Tensor y)
    {
        CacheSizes sizes = RequireCache(qkv, heads, kvHeads, lengths, counts, keys, values);
        Require(y, sizes.Rows * sizes.Tokens, heads * sizes.HeadDim);
        if (layout is not (CacheLayout.Sequence or CacheLayout.Prompt or CacheLayout.Siblings))
            throw new ArgumentOutOfRangeException(nameof(layout), layout, "unknown layout");
        if (sizes.Rows > 0 && sizes.Tokens > 0) CachedAttentionCore(qkv, keys, values, lengths, counts, sizes, layout, y);
    }

    private protected abstract void CachedAttentionCore(
        Tensor qkv, Tensor keys, Tensor values, Tensor lengths, Tensor counts, CacheSizes sizes, CacheLayout layout, Tensor y);
}

public sealed unsafe partial class CpuOps
{
    private protected override void CachedAttentionCore(
        Tensor qkv, Tensor keys, Tensor values, Tensor lengths, Tensor counts, CacheSizes sizes, CacheLayout layout, Tensor y)
    {
        CheckColumns("CachedAttention", lengths, counts, sizes);
        int* length = lengths.Ints();
        long columns = 0;
        for (int r = 0; r < sizes.Rows; r++) columns += length[r] + sizes.Tokens;
        long cost = columns / sizes.Rows * sizes.Tokens * sizes.Group * sizes.HeadDim / 2;
        CachedAttentionWork work = new(
            qkv.Floats(), keys.Floats(), values.Floats(), length, counts.Ints(), sizes, layout, y.Floats());
        _workers.For(sizes.Rows * sizes.KvHeads, Grain(cost), work);
    }

    /// <summary>One item is a row and a KV head, with all query heads that use it.</summary>
    private readonly struct CachedAttentionWork(
        float* qkv, float* keys, float* values, int* lengths, int* counts, CacheSizes sizes, CacheLayout layout, float* y) : IWork
    {
        // Below this many queries at once most lanes of a tile would be empty.
        private const int LeastForTiles = 4;

        [SkipLocalsInit]
        public void Run(int begin, int end, int worker)
        {
            float* scratch = stackalloc float[Math.Max(AttentionHead.ScratchSize(sizes.HeadDim), SingleQuery.ScratchSize)];
            int dim = sizes.HeadDim, tokens = sizes.Tokens, group = sizes.Group;
            nint yStride = sizes.Heads * dim, width = sizes.Width;
            for (int item = begin; item < end; item++)
            {
                int r = item / sizes.KvHeads, g = item % sizes.KvHeads;
                int length = lengths[r], count = counts == null ? tokens : counts[r];
                nint cache = (nint)r * sizes.Capacity * sizes.Column + g * dim;
                float* q = qkv + (nint)r * tokens * width + g * group * dim;
                float* to = y + (nint)r * tokens * yStride + g * group * dim;
                for (int s = count; s < tokens; s++) new Span<float>(to + s * yStride, group * dim).Clear();
                AttentionHead head = new()
                {
                    Q = q,
                    QStride = width,
                    K = keys + cache,
                    V = values + cache,
                    KvStride = sizes.Column,
                    HeadDim = dim,
                    Queries = count,
                    Floor = layout == CacheLayout.Prompt ? length + count : length,
                    Shift = layout == CacheLayout.Sequence ? length + 1 : -count,
                };
                if (count == 1 && group >= LeastForTiles)
                {
                    // One token: its heads are the queries, and all see the same columns, its own included.
                    AttentionHead heads = head with { QStride = dim, Queries = group, Floor = length + 1, Shift = -group };
                    heads.Attend(null, null, to, dim, null, scratch);
                    continue;
                }
                float* own = layout == CacheLayout.Siblings ? head.K + (nint)length * sizes.Column : null;
                float* ownV = layout == CacheLayout.Siblings ? head.V + (nint)length * sizes.Column : null;
                for (int i = 0; i < group; i++, q += dim, to += dim)
                {
                    if (count >= LeastForTiles)
                    {
                        (head with { Q = q }).Attend(own, ownV, to, yStride, null, scratch);
                        continue;
                    }
                    for (int s = 0; s < count; s++)
                        SingleQuery.Attend(head, q + s * width, head.Visible(s), own == null ? -1 : length + s, to + s * yStride, scratch);
                }
            }
        }
    }

    /// <summary>One query against the keys of one sequence: what decoding does, one token at a time.</summary>
    private static class SingleQuery
    {
        private const int Block = 256;

        public const int ScratchSize = Block + 8;

        /// <summary>y = softmax(qKᵀ/√D)·V over the first <paramref name="count"/> keys, and key <paramref name="own"/> unless it is −1.</summary>
        public static void Attend(in AttentionHead head, float* q, int count, int own, float* y, float* scratch)
        {
            int dim = head.HeadDim;
            float largest = float.NegativeInfinity, sum = 0;
            new Span<float>(y, dim).Clear();
            if (own >= 0)
            {
                largest = head.Scale * AttentionHead.Dot(q, head.K + own * head.KvStride, dim);
                sum = 1;
                new ReadOnlySpan<float>(head.V + own * head.KvStride, dim).CopyTo(new Span<float>(y, dim));
            }
            for (int k0 = 0; k0 < count; k0 += Block)
            {
                int block = Math.Min(Block, count - k0);
                float before = largest;
                largest = MathF.Max(largest, Scores(head, q, k0, block, scratch));
                float origin = float.IsNegativeInfinity(largest) ? 0 : largest;
                if (k0 > 0 || own >= 0)
                {
                    float factor = MathF.Exp(before - origin);
                    sum *= factor;
                    AttentionHead.Multiply(y, factor, dim);
                }
                sum += Weights(scratch, block, origin);
                AddValues(head.V + k0 * head.KvStride, head.KvStride, dim, scratch, block, y);
            }
            AttentionHead.Multiply(y, 1 / sum, dim);
        }

        /// <summary>q·k/√D for a block of keys; the largest. Past the block up to a multiple of eight: −∞.</summary>
        private static float Scores(in AttentionHead head, float* q, int k0, int block, float* scores)
        {
            float largest = float.NegativeInfinity, scale = head.Scale;
            float* key = head.K + k0 * head.KvStride;
            for (int s = 0; s < block; s++, key += head.KvStride)
            {
                scores[s] = scale * AttentionHead.Dot(q, key, head.HeadDim);
                largest = MathF.Max(largest, scores[s]);
            }
            for (int s = block; s < ((block + 7) & ~7); s++) scores[s] = float.NegativeInfinity;
            return largest;
        }

        private static float Weights(float* scores, int block, float origin)
        {
            Vector256<float> sum = default;
            for (int s = 0; s < block; s += 8)
            {
                Vector256<float> weight = VectorMath.Exp(Vector256.Load(scores + s) - Vector256.Create(origin));
                weight.Store(scores + s);
                sum += weight;
            }
            return Vector256.Sum(sum);
        }

        /// <summary>y += Σ_s weights[s]·values[s], with two sums at a time so that additions do not wait for each other.</summary>
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
}
