using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private const int LeastColumnsOfSplit = 128;
    private const int MostSplits = 64;

    private protected override void CachedAttentionCore(
        Tensor qkv, Tensor keys, Tensor values, Tensor lengths, Tensor counts, CacheSizes sizes, CacheLayout layout, Tensor y)
    {
        AttentionTiles tiles = new AttentionTiles(qkv.DType, sizes.HeadDim).Within(256, "decoding");
        int rows = sizes.Tokens * sizes.Group;
        int warps = Math.Min(tiles.MostWarps, Blocks(rows, AttentionTiles.WarpRows)), height = warps * AttentionTiles.WarpRows;
        int rowTiles = Blocks(rows, height), items = sizes.Rows * sizes.KvHeads, splits = Splits(sizes.Capacity, rows);
        Tensor partial = splits == 1 ? Tensor.None : device.Scratch(checked(items * rows * splits * (sizes.HeadDim + 2)));
        device.Kernels.Get("cached_attention", "cached_attention", tiles.Variant).Launch(
            checked(items * rowTiles * splits), warps * 32, tiles.Bytes(height + 4 * tiles.Step),
            qkv, keys, values, lengths, counts, y, partial,
            sizes.Tokens, sizes.Capacity, sizes.Heads, sizes.KvHeads, sizes.HeadDim, (int)layout, splits, rowTiles);
        if (splits == 1) return;
        device.Kernels.Get("cached_attention", "cached_attention_merge", tiles.Variant).Launch(
            Blocks(items * rows, 4), 128, 0,
            partial, counts, y, sizes.Tokens, sizes.Heads, sizes.KvHeads, sizes.HeadDim, splits, items * rows);
    }

    /// <summary>
    /// Blocks that share the columns of one row. Shapes alone decide, as a recorded step has a fixed grid and an item's result
    /// must not depend on the others. A split reads 4 D bytes a column in BF16, and costs 8 D bytes a query row.
    /// </summary>
    private static int Splits(int capacity, int rows) =>
        Math.Clamp(capacity / Math.Max(LeastColumnsOfSplit, 16 * rows), 1, MostSplits);
}
