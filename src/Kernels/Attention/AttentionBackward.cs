using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>
    /// The gradient of <see cref="Attention"/>. With P_ts = exp(q_t·k_s / √D − logSumExp_t) found again and
    /// Δ_t = dy_t·y_t (Dao et al. 2022): dv_s = Σ_t P_ts dy_t; dS_ts = P_ts (dy_t·v_s − Δ_t) / √D; dq_t = Σ_s dS_ts k_s;
    /// dk_s = Σ_t dS_ts q_t. Keys and values sum over all query heads that use them.
    /// </summary>
    /// <param name="dy">[B·T, H·D].</param>
    /// <param name="qkv">[B·T, (H + 2G)·D], as given to <see cref="Attention"/>.</param>
    /// <param name="spans">[B, 3] I32, the same.</param>
    /// <param name="heads">H.</param>
    /// <param name="kvHeads">G.</param>
    /// <param name="y">[B·T, H·D], its result.</param>
    /// <param name="logSumExp">[B, H, T], its result.</param>
    /// <param name="dQkv">[B·T, (H + 2G)·D], written; 0 outside of the spans.</param>
    public void AttentionBackward(
        Tensor dy, Tensor qkv, Tensor spans, int heads, int kvHeads, Tensor y, Tensor logSumExp, Tensor dQkv)
    {
        int headDim = RequireHeads(qkv, heads, kvHeads);
        int rows = qkv.Shape.Rows, batch = RequireSpans(spans, rows);
        Require(dy, rows, heads * headDim, qkv.DType);
        Require(y, rows, heads * headDim, qkv.DType);
        Require(logSumExp, heads * rows);
        Require(dQkv, rows, qkv.Shape.Last, qkv.DType);
        using OpSpan traced = Traced(dy, qkv, spans, y);
        if (rows > 0)
            AttentionBackwardCore(dy, qkv, spans, new AttentionSizes(batch, rows / batch, heads, kvHeads, headDim), y, logSumExp, dQkv);
    }

    private protected abstract void AttentionBackwardCore(
        Tensor dy, Tensor qkv, Tensor spans, AttentionSizes sizes, Tensor y, Tensor logSumExp, Tensor dQkv);
}

public sealed unsafe partial class CpuOps
{
    private protected override void AttentionBackwardCore(
        Tensor dy, Tensor qkv, Tensor spans, AttentionSizes sizes, Tensor y, Tensor logSumExp, Tensor dQkv)
    {
        CheckSpans(spans, sizes);
        AttentionBackwardWork work = new(
            dy.Floats(), qkv.Floats(), spans.Ints(), sizes, y.Floats(), logSumExp.Floats(), dQkv.Floats());
        _workers.For(sizes.Batch * sizes.KvHeads, AttentionGrain(sizes), work);
    }

    /// <summary>One item is a row and a KV head; its query heads add to the gradients of keys and values one after the other.</summary>
    private readonly struct AttentionBackwardWork(
        float* dy, float* qkv, int* spans, AttentionSizes sizes, float* y, float* logSumExp, float* dQkv) : IWork
    {
        private const int QueryTile = AttentionHead.QueryTile, KeyTile = AttentionHead.KeyTile;

        [SkipLocalsInit]
        public void Run(int begin, int end, int worker)
        {
            float* memory = stackalloc float[2 * QueryTile * sizes.HeadDim + 2 * KeyTile * QueryTile + 2 * QueryTile + 16];
            Scratch scratch = new(AttentionHead.Align(memory), sizes.HeadDim);
            for (int item = begin; item < end; item++)
            {
                int b = item / sizes.KvHeads, g = item % sizes.KvHeads, dim = sizes.HeadDim, all = sizes.Width;
                float* gradient = dQkv + (nint)b * sizes.Time * all;
                int q = g * sizes.Group * dim, k = (sizes.Heads + g) * dim, v = k + sizes.KvHeads * dim;
                for (int t = 0; t < sizes.Time; t++)
                {
                    new Span<float>(gradient + (nint)t * all + q, sizes.Group * dim).Clear();
                    new Span<float>(gradient + (nint)t * all + k, dim).Clear();
                    new Span<float>(gradient + (nint)t * all + v, dim).Clear();
                }
                for (int i = 0; i < sizes.Group; i++) Head(b, g, g * sizes.Group + i, scratch);
            }
        }

        private void Head(int b, int g, int h, Scratch scratch)
        {
            AttentionHead head = HeadOf(qkv, spans, sizes, b, g, h);
            int dim = sizes.HeadDim;
            nint all = sizes.Width, yStride = sizes.Heads * dim, token = (nint)b * sizes.Time + spans[3 * b];
            float* yRows = y + token * yStride + h * dim;
            float* dyRows = dy + token * yStride + h * dim;
            float* sums = logSumExp + ((nint)b * sizes.Heads + h) * sizes.Time + spans[3 * b];
            float* dq = dQkv + token * all + h * dim;
            float* dk = dQkv + token * all + (sizes.Heads + g) * dim;
            float* dv = dk + sizes.KvHeads * dim;
            for (int t0 = 0; t0 < head.Queries; t0 += QueryTile)
            {
                int count = Math.Min(QueryTile, head.Queries - t0);
                float* q = head.Q + t0 * all, dyTile = dyRows + t0 * yStride;
                Transposed.Copy(q, all, count, dim, head.Scale, scratch.Queries);
                Transposed.Copy(dyTile, yStride, count, dim, 1, scratch.Gradients);
                for (int i = 0; i < QueryTile; i++)
                {
                    bool real = i < count;
                    scratch.Sums[i] = real ? sums[t0 + i] : 0;
                    scratch.Deltas[i] = real ? VectorMath.Dot(dyTile + i * yStride, yRows + (t0 + i) * yStride, dim) : 0;
                }
                int keys = head.Visible(t0 + count - 1);
                for (int k0 = 0; k0 < keys; k0 += KeyTile)
                {
                    int block = Math.Min(KeyTile, keys - k0);
                    head.Products(head.K + k0 * all, scratch.Queries, t0, count, k0, block, scratch.Weights);
                    head.Products(head.V + k0 * all, scratch.Gradients, t0, count, k0, block, scratch.Slopes);
                    for (int group = 0; group < count; group += 8) Slopes(head, t0 + group, t0 + count, k0, block, scratch, group);
                    for (int s = 0; s < block; s += 4)
                    {
                        int from = Math.Max(0, head.FirstToSee(k0 + s) - t0), rows = Math.Min(4, block - s);
                        nint at = s * QueryTile + from;
                        TileProduct.Multiply(
                            scratch.Weights + at, QueryTile, 1, dyTile + from * yStride, yStride, dv + (k0 + s) * all, all,
                            rows, count - from, dim, true);
                        TileProduct.Multiply(
                            scratch.Slopes + at, QueryTile, 1, q + from * all, all, dk + (k0 + s) * all, all,
                            rows, count - from, dim, true);
                    }
                    for (int i = 0; i < count; i += 4)
                    {
                        int rows = Math.Min(4, count - i);
                        int depth = Math.Min(head.Visible(t0 + i + rows - 1) - k0, block);
                        TileProduct.Multiply(
                            scratch.Slopes + i, 1, QueryTile, head.K + k0 * all, all, dq + (t0 + i) * all, all,
                            rows, depth, dim, true);
                    }
                }
            }
        }

        /// <summary>Turns scores into weights P and dy·v into dS for eight queries; both 0 where a key is not seen.</summary>
        private static void Slopes(AttentionHead head, int first, int end, int k0, int block, Scratch scratch, int group)
        {
            int seen = Math.Min(head.Visible(Math.Min(first + 7, end - 1)) - k0, block);
            if (seen <= 0) return;
            int seenByAll = Math.Clamp(head.Visible(first) - k0, 0, seen);
            // Keys are used by fours: what lies past the last one that is seen must be 0, not what an earlier tile left.
            int stop = Math.Min((seen + 3) & ~3, block);
            Vector256<int> visible = head.VisibleOfEight(first, end, k0);
            Vector256<float> sum = Vector256.Load(scratch.Sums + group), delta = Vector256.Load(scratch.Deltas + group);
            Vector256<float> scale = Vector256.Create(head.Scale);
            float* weights = scratch.Weights + group, slopes = scratch.Slopes + group;
            for (int s = 0; s < stop; s++, weights += QueryTile, slopes += QueryTile)
            {
                Vector256<float> weight = AttentionHead.Weight(Vector256.Load(weights) - sum);
                Vector256<float> slope = weight * scale * (Vector256.Load(slopes) - delta);
                if (s >= seenByAll)
                {
                    Vector256<float> isSeen = Vector256.LessThan(Vector256.Create(s), visible).AsSingle();
                    weight = Vector256.ConditionalSelect(isSeen, weight, Vector256<float>.Zero);
                    slope = Vector256.ConditionalSelect(isSeen, slope, Vector256<float>.Zero);
                }
                weight.Store(weights);
                slope.Store(slopes);
            }
        }

        private readonly struct Scratch(float* memory, int headDim)
        {
            public float* Queries => memory;                                                  // [D, QueryTile]: q / √D

            public float* Gradients => memory + QueryTile * headDim;                          // [D, QueryTile]: dy

            public float* Weights => memory + 2 * QueryTile * headDim;                        // [KeyTile, QueryTile]: scores, then P

            public float* Slopes => Weights + KeyTile * QueryTile;                            // [KeyTile, QueryTile]: dy·v, then dS

            public float* Sums => Slopes + KeyTile * QueryTile;                               // [QueryTile]: logSumExp

            public float* Deltas => Sums + QueryTile;                                         // [QueryTile]: dy·y
        }
    }
}
