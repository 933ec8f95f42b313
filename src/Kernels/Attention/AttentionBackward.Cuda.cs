using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void AttentionBackwardCore(
        Tensor dy, Tensor qkv, Tensor spans, AttentionSizes sizes, Tensor y, Tensor logSumExp, Tensor dQkv)
    {
        AttentionTiles tiles = new AttentionTiles(qkv.DType, sizes.HeadDim).Within(MostTrainedHeadDim, "training");
        int height = tiles.MostWarps * AttentionTiles.WarpRows, items = sizes.Batch * sizes.KvHeads, threads = tiles.MostWarps * 32;
        int shared = tiles.Bytes(2 * height + 4 * tiles.BackStep);
        long rows = (long)sizes.Batch * sizes.Time * sizes.Heads;
        Tensor delta = device.Scratch(checked((int)rows));
        device.Kernels.Get("attention_backward", "attention_delta", tiles.Variant).Launch(
            Blocks(rows * tiles.Padded * qkv.DType.Size() / 16, Threads), Threads, 0,
            dy, y, delta, sizes.Time, sizes.Heads, sizes.HeadDim, rows);
        device.Kernels.Get("attention_backward", "attention_dq", tiles.Variant).Launch(
            checked(items * Blocks((long)sizes.Time * sizes.Group, height)), threads, shared,
            dy, qkv, spans, logSumExp, delta, dQkv, items, sizes.Time, sizes.Heads, sizes.KvHeads, sizes.HeadDim);
        device.Kernels.Get("attention_backward_keys", "attention_dkv", tiles.Variant).Launch(
            checked(items * Blocks(sizes.Time, height)), threads, shared,
            dy, qkv, spans, logSumExp, delta, dQkv, items, sizes.Time, sizes.Heads, sizes.KvHeads, sizes.HeadDim);
    }
}
