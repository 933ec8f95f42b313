using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private const int MostTrainedHeadDim = 128;

    private protected override void AttentionCore(Tensor qkv, Tensor spans, AttentionSizes sizes, Tensor y, Tensor logSumExp)
    {
        AttentionTiles tiles = new AttentionTiles(qkv.DType, sizes.HeadDim).Within(MostTrainedHeadDim, "training");
        int height = tiles.MostWarps * AttentionTiles.WarpRows, items = sizes.Batch * sizes.KvHeads;
        device.Kernels.Get("attention", "attention", tiles.Variant).Launch(
            checked(items * Blocks((long)sizes.Time * sizes.Group, height)), tiles.MostWarps * 32, tiles.Bytes(height + 4 * tiles.Step),
            qkv, spans, y, logSumExp, items, sizes.Time, sizes.Heads, sizes.KvHeads, sizes.HeadDim);
    }
}
