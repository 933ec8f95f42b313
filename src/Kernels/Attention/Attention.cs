using System.Runtime.CompilerServices;

using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    private const int MaxHeadSize = 1024;   // tiles of the CPU twin lie on the stack

    /// <summary>
    /// y_t = Σ_s softmax_s(q_t·k_s / √D) v_s over the tokens s that token t sees (Vaswani et al. 2017), for whole sequences
    /// in training. Row b's tokens are first ≤ t &lt; end; token t sees first ≤ s ≤ t and, if t &lt; prompt, every
    /// first ≤ s &lt; prompt, so that a prompt may be read in both directions. Query head h uses KV head h / (H / G)
    /// (Ainslie et al. 2023). No [T, T] tensor is kept: the sum is built up block by block (Dao et al. 2022), and backward
    /// finds the weights again from <paramref name="logSumExp"/>.
    /// </summary>
    /// <param name="qkv">[B·T, (H + 2G)·D]: heads of queries, then of keys, then of values.</param>
    /// <param name="spans">[B, 3] I32: first, prompt, end of each row; prompt ≤ first means causal, first = end empty.</param>
    /// <param name="heads">H.</param>
    /// <param name="kvHeads">G, a divisor of H.</param>
    /// <param name="y">[B·T, H·D]; 0 outside first … end − 1.</param>
    /// <param name="logSumExp">[B, H, T]: ln Σ_s exp(q_t·k_s / √D); 0 outside.</param>
    public void Attention(Tensor qkv, Tensor spans, int heads, int kvHeads, Tensor y, Tensor logSumExp)
    {
        int headDim = RequireHeads(qkv, heads, kvHeads);
        int rows = qkv.Shape.Rows, batch = RequireSpans(spans, rows);
        Require(y, rows, heads * headDim, qkv.DType);
        Require(logSumExp, heads * rows);
        using OpSpan traced = Traced(qkv, spans, y, logSumExp);
        if (rows > 0) AttentionCore(qkv, spans, new AttentionSizes(batch, rows / batch, heads, kvHeads, headDim), y, logSumExp);
    }

    private protected abstract void AttentionCore(Tensor qkv, Tensor spans, AttentionSizes sizes, Tensor y, Tensor logSumExp);

    /// <summary>Checks that queries, keys and values fit the heads, and returns the head size.</summary>
    private protected int RequireHeads(Tensor qkv, int heads, int kvHeads, [CallerMemberName] string op = "")
    {
        Require(heads > 0 && kvHeads > 0 && heads % kvHeads == 0, $"{heads} heads do not share {kvHeads} KV heads evenly.", op);
        int width = qkv.IsNone ? 0 : qkv.Shape.Last, all = heads + 2 * kvHeads, headDim = width / all;
        Require(
            width > 0 && width % all == 0 && headDim <= MaxHeadSize,
            $"a width of {width} is not {all} heads (q, k, v) of one size up to {MaxHeadSize}.", op);
        Require(qkv, qkv.Shape.Rows, width, TypeOf(qkv), nameof(qkv), op);
        return headDim;
    }

    /// <summary>Checks that spans are [B, 3] and that B divides the rows; returns B.</summary>
    private protected int RequireSpans(Tensor spans, int rows, [CallerMemberName] string op = "")
    {
        int batch = (int)(spans.Count / 3);
        Require(spans, batch, 3, DType.I32, nameof(spans), op);
        Require(batch == 0 ? rows == 0 : rows % batch == 0, $"{rows} rows are not {batch} sequences of one length.", op);
        return batch;
    }
}

/// <summary>B sequences of T tokens, H query heads, G key and value heads, all of size D.</summary>
internal readonly record struct AttentionSizes(int Batch, int Time, int Heads, int KvHeads, int HeadDim)
{
    public int Width => (Heads + 2 * KvHeads) * HeadDim;

    /// <summary>Query heads of one KV head.</summary>
    public int Group => Heads / KvHeads;
}

public sealed unsafe partial class CpuOps
{
    private protected override void AttentionCore(Tensor qkv, Tensor spans, AttentionSizes sizes, Tensor y, Tensor logSumExp)
    {
        CheckSpans(spans, sizes);
        AttentionWork work = new(qkv.Floats(), spans.Ints(), sizes, y.Floats(), logSumExp.Floats());
        _workers.For(sizes.Batch * sizes.KvHeads, AttentionGrain(sizes), work);
    }

    /// <summary>A span outside of its row would be a read or write outside of the tensors.</summary>
    private static void CheckSpans(Tensor spans, AttentionSizes sizes)
    {
        int* span = spans.Ints();
        for (int b = 0; b < sizes.Batch; b++, span += 3)
        {
            if (span[0] < 0 || span[0] > span[2] || span[2] > sizes.Time)
                throw new ArgumentException($"Attention: row {b} spans tokens {span[0]} to {span[2]} of {sizes.Time}.");
        }
    }

    private static int AttentionGrain(AttentionSizes sizes) =>
        Grain((long)sizes.Group * sizes.Time * (sizes.Time + 32) * sizes.HeadDim / 8);

    /// <summary>One item is a row and a KV head, with all query heads that use it.</summary>
    private readonly struct AttentionWork(float* qkv, int* spans, AttentionSizes sizes, float* y, float* logSumExp) : IWork
    {
        [SkipLocalsInit]
        public void Run(int begin, int end, int worker)
        {
            float* scratch = stackalloc float[AttentionHead.ScratchSize(sizes.HeadDim)];
            for (int item = begin; item < end; item++)
            {
                int b = item / sizes.KvHeads, g = item % sizes.KvHeads;
                for (int i = 0; i < sizes.Group; i++) Head(b, g, g * sizes.Group + i, scratch);
            }
        }

        private void Head(int b, int g, int h, float* scratch)
        {
            int first = spans[3 * b], stop = spans[3 * b + 2];
            nint yStride = sizes.Heads * sizes.HeadDim;
            float* yRows = y + (nint)b * sizes.Time * yStride + h * sizes.HeadDim;
            float* sums = logSumExp + ((nint)b * sizes.Heads + h) * sizes.Time;
            for (int t = 0; t < sizes.Time; t++)
            {
                if (t >= first && t < stop) continue;
                new Span<float>(yRows + t * yStride, sizes.HeadDim).Clear();
                sums[t] = 0;
            }
            HeadOf(qkv, spans, sizes, b, g, h).Attend(null, null, yRows + first * yStride, yStride, sums + first, scratch);
        }
    }

    /// <summary>Query head h of row b, from the row's first token on.</summary>
    private static AttentionHead HeadOf(float* qkv, int* spans, AttentionSizes sizes, int b, int g, int h)
    {
        int first = spans[3 * b], prompt = spans[3 * b + 1], end = spans[3 * b + 2];
        float* start = qkv + ((nint)b * sizes.Time + first) * sizes.Width;
        return new AttentionHead
        {
            Q = start + h * sizes.HeadDim,
            QStride = sizes.Width,
            K = start + (sizes.Heads + g) * sizes.HeadDim,
            V = start + (sizes.Heads + sizes.KvHeads + g) * sizes.HeadDim,
            KvStride = sizes.Width,
            HeadDim = sizes.HeadDim,
            Queries = end - first,
            Floor = Math.Min(prompt, end) - first,
            Shift = 1,
        };
    }
}
