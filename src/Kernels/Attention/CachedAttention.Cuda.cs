using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private const int LeastColumnsOfSplit = 128;
    private const int MostSplits = 64;

    private protected override void CachedAttentionCore(
        Tensor qkv, in CachedPrompts prompts, Tensor keys, Tensor values, Tensor lengths, Tensor counts, CacheSizes sizes,
        CacheLayout layout, Tensor y)
    {
        AttentionTiles tiles = new AttentionTiles(qkv.DType, sizes.HeadDim).Within(256, "decoding");
        // Query rows of one cache row, and the most that a block may have: all rows may go on from one prompt.
        int rows = sizes.Tokens * sizes.Group, most = prompts.IsNone ? rows : checked(rows * sizes.Rows);
        int warps = Math.Min(tiles.MostWarps, Blocks(most, AttentionTiles.WarpRows)), height = warps * AttentionTiles.WarpRows;
        int rowTiles = Blocks(rows, height), items = sizes.Rows * sizes.KvHeads;
        int promptSplits = prompts.IsNone ? 0 : Splits(prompts.Capacity, rows), splits = promptSplits + Splits(sizes.Capacity, rows);
        long partials = (long)items * rows * splits * (sizes.HeadDim + 2);
        if (splits > 1 && partials > int.MaxValue)   // which the kernel counts in ints
            throw new UserException($"Attention over {sizes.Rows} rows of {sizes.Tokens} tokens needs {partials} numbers between its two passes, more than {int.MaxValue}; choose fewer rows or candidates.");
        Tensor partial = splits == 1 ? Tensor.None : device.Scratch((int)partials);
        device.Kernels.Get("cached_attention", "cached_attention", tiles.Variant).Launch(
            checked(items * rowTiles * splits), warps * 32, tiles.Bytes(height + 4 * tiles.Step),
            qkv, prompts.Keys, prompts.Values, prompts.Lengths, prompts.Of, keys, values, lengths, counts, y, partial,
            sizes.Rows, sizes.Tokens, prompts.Capacity, sizes.Capacity, sizes.Heads, sizes.KvHeads, sizes.HeadDim, (int)layout,
            promptSplits, splits, rowTiles);
        if (splits == 1) return;
        device.Kernels.Get("cached_attention", "cached_attention_merge", tiles.Variant).Launch(
            Blocks(items * rows, 4), 128, 0,
            partial, counts, y, sizes.Tokens, sizes.Heads, sizes.KvHeads, sizes.HeadDim, splits, items * rows);
    }

    /// <summary>
    /// Blocks that share the columns of one row or prompt. Shapes alone decide, as a recorded step has a fixed grid and a row's
    /// bits must not depend on the others. A split reads 4 D bytes a column in BF16, and costs 8 D bytes a query row.
    /// </summary>
    private static int Splits(int capacity, int rows) =>
        Math.Clamp(capacity / Math.Max(LeastColumnsOfSplit, 16 * rows), 1, MostSplits);
}
