using System.Runtime.CompilerServices;

using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>
    /// Attention of S new tokens a row to the row's prompt, whose columns all of them see, and to the row's own columns, of
    /// which lengths[r] + s hold the new tokens' keys and values (<see cref="KvWrite"/> comes first). Token s sees own columns
    /// 0 … lengths[r] − 1 and, by the layout, of the new ones: those up to its own, all counts[r], or its own only. The formula
    /// is that of <see cref="Attention"/>. A row's result is the same to the bit whoever shares its prompt.
    /// </summary>
    /// <param name="qkv">[R·S, (H + 2G)·D], of which the queries are read.</param>
    /// <param name="prompts">Or the default: rows have their own columns alone.</param>
    /// <param name="keys">[R, P, G·D].</param>
    /// <param name="values">[R, P, G·D].</param>
    /// <param name="lengths">[R] I32: own columns in use before these tokens.</param>
    /// <param name="counts">[R] I32 or None: how many of a row's tokens are real, the first ones; None means all.</param>
    /// <param name="heads">H.</param>
    /// <param name="kvHeads">G.</param>
    /// <param name="layout">What the new tokens see of each other.</param>
    /// <param name="y">[R·S, H·D]; 0 for tokens s ≥ counts[r].</param>
    public void CachedAttention(
        Tensor qkv, in CachedPrompts prompts, Tensor keys, Tensor values, Tensor lengths, Tensor counts, int heads, int kvHeads,
        CacheLayout layout, Tensor y)
    {
        CacheSizes sizes = RequireCache(qkv, heads, kvHeads, lengths, counts, keys, values);
        Require(y, sizes.Rows * sizes.Tokens, heads * sizes.HeadDim, qkv.DType);
        if (layout is not (CacheLayout.Sequence or CacheLayout.Prompt or CacheLayout.Siblings))
            throw new ArgumentOutOfRangeException(nameof(layout), layout, "unknown layout");
        if (!prompts.IsNone)
        {
            Require(prompts.Keys.Shape.Rank == 3, $"keys of prompts are {prompts.Keys}, but must be [Q, P′, G·D].");
            Require(prompts.Of, sizes.Rows, DType.I32);
            Require(prompts.Lengths, prompts.Count, DType.I32);
            Require(prompts.Keys, prompts.Count * prompts.Capacity, sizes.Column, qkv.DType);
            Require(prompts.Values, prompts.Count * prompts.Capacity, sizes.Column, qkv.DType);
        }
        using OpSpan traced = Traced(qkv, prompts.Keys, keys, lengths);
        if (sizes.Rows > 0 && sizes.Tokens > 0) CachedAttentionCore(qkv, prompts, keys, values, lengths, counts, sizes, layout, y);
    }

    private protected abstract void CachedAttentionCore(
        Tensor qkv, in CachedPrompts prompts, Tensor keys, Tensor values, Tensor lengths, Tensor counts, CacheSizes sizes,
        CacheLayout layout, Tensor y);
}

public sealed unsafe partial class CpuOps
{
    private protected override void CachedAttentionCore(
        Tensor qkv, in CachedPrompts prompts, Tensor keys, Tensor values, Tensor lengths, Tensor counts, CacheSizes sizes,
        CacheLayout layout, Tensor y)
    {
        CheckColumns("CachedAttention", lengths, counts, sizes);
        CheckPrompts("CachedAttention", prompts.Lengths, prompts.Of);
        int* length = lengths.Ints(), promptLength = prompts.Lengths.Ints(), promptOf = prompts.Of.Ints();
        long columns = 0;
        for (int r = 0; r < sizes.Rows; r++)
        {
            int before = promptOf == null ? 0 : promptLength[promptOf[r]];
            if (before > prompts.Capacity)
                throw new ArgumentException($"CachedAttention: row {r} has a prompt of {before} columns, but there is room for {prompts.Capacity}.");
            columns += before + length[r] + sizes.Tokens;
        }
        long cost = columns / sizes.Rows * sizes.Tokens * sizes.Group * sizes.HeadDim / 2;
        PromptPointers shared = new(prompts.Keys.Floats(), prompts.Values.Floats(), promptLength, promptOf, prompts.Capacity);
        CachedAttentionWork work = new(
            qkv.Floats(), shared, keys.Floats(), values.Floats(), length, counts.Ints(), sizes, layout, y.Floats());
        _workers.For(sizes.Rows * sizes.KvHeads, Grain(cost), work);
    }

    /// <summary>Which prompt a row reads and how long it is lies on the device, so only its twin can check it.</summary>
    private static void CheckPrompts(string op, Tensor promptLengths, Tensor promptOf)
    {
        int* length = promptLengths.Ints(), of = promptOf.Ints();
        for (int r = 0; r < promptOf.Count; r++)
        {
            if (of[r] < 0 || of[r] >= promptLengths.Count)
                throw new ArgumentException($"{op}: row {r} reads prompt {of[r]}, but there are {promptLengths.Count}.");
            if (length[of[r]] < 0)
                throw new ArgumentException($"{op}: prompt {of[r]} has {length[of[r]]} columns.");
        }
    }

    private readonly struct PromptPointers(float* keys, float* values, int* lengths, int* of, int capacity)
    {
        public int Length(int row) => of == null ? 0 : lengths[of[row]];

        public float* Keys(int row, int column) => of == null ? null : keys + (nint)of[row] * capacity * column;

        public float* Values(int row, int column) => of == null ? null : values + (nint)of[row] * capacity * column;
    }

    /// <summary>One item is a row and a KV head, with all query heads that use it.</summary>
    private readonly struct CachedAttentionWork(
        float* qkv, PromptPointers prompts, float* keys, float* values, int* lengths, int* counts, CacheSizes sizes, CacheLayout layout,
        float* y) : IWork
    {
        // Below this many tokens most lanes of a tile would be empty.
        private const int LeastForTiles = 4;

        [SkipLocalsInit]
        public void Run(int begin, int end, int worker)
        {
            int size = Math.Max(AttentionHead.ScratchSize(sizes.HeadDim), SingleQuery.ScratchSize(sizes.Group));
            float* scratch = stackalloc float[size];
            int dim = sizes.HeadDim, tokens = sizes.Tokens, group = sizes.Group;
            nint yStride = sizes.Heads * dim, width = sizes.Width;
            for (int item = begin; item < end; item++)
            {
                int r = item / sizes.KvHeads, g = item % sizes.KvHeads;
                int length = lengths[r], count = counts == null ? tokens : counts[r];
                nint cache = (nint)r * sizes.Capacity * sizes.Column + g * dim;
                float* to = y + (nint)r * tokens * yStride + g * group * dim;
                for (int s = count; s < tokens; s++) new Span<float>(to + s * yStride, group * dim).Clear();
                AttentionHead head = new()
                {
                    Q = qkv + (nint)r * tokens * width + g * group * dim,
                    QStride = width,
                    K = keys + cache,
                    V = values + cache,
                    KvStride = sizes.Column,
                    PromptK = prompts.Keys(r, sizes.Column) + g * dim,
                    PromptV = prompts.Values(r, sizes.Column) + g * dim,
                    PromptKeys = prompts.Length(r),
                    HeadDim = dim,
                    Queries = count,
                    Floor = layout == CacheLayout.Prompt ? length + count : length,
                    Shift = layout == CacheLayout.Sequence ? length + 1 : -count,
                };
                nint own = layout == CacheLayout.Siblings ? length * head.KvStride : -1;
                if (count < LeastForTiles)
                {
                    for (int s = 0; s < count; s++)
                        SingleQuery.Attend(head, s, group, own < 0 ? own : own + s * head.KvStride, to + s * yStride, scratch);
                    continue;
                }
                for (int i = 0; i < group; i++, to += dim)
                {
                    AttentionHead one = head with { Q = head.Q + i * dim };
                    one.Attend(own < 0 ? null : head.K + own, own < 0 ? null : head.V + own, to, yStride, null, scratch);
                }
            }
        }
    }
}
