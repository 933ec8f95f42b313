using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void HeadNormCore(
        Tensor qkv, Tensor queryWeight, Tensor keyWeight, HeadNormSizes sizes, float epsilon, Tensor y, Tensor rstd) =>
        Load("head_norm", "head_norm", qkv.DType).Launch(
            HeadBlocks(sizes), Threads, 0,
            qkv, queryWeight, keyWeight, sizes.Rows, sizes.Heads, sizes.KvHeads, sizes.HeadDim, epsilon, y, rstd);

    private protected override void HeadNormBackwardCore(
        Tensor dy, Tensor qkv, Tensor queryWeight, Tensor keyWeight, Tensor rstd, HeadNormSizes sizes, Tensor dx, Tensor dQueryWeight, Tensor dKeyWeight)
    {
        int blocks = Math.Min(HeadBlocks(sizes), 4 * NormBlocks), dim = sizes.HeadDim;
        if (blocks == 0) return;
        Tensor partials = device.Scratch((2 * blocks, dim)), queries = partials.Range(0, blocks), keys = partials.Range(blocks, blocks);
        int sharedBytes = Threads / 32 * 2 * dim * sizeof(float);   // both weights for each warp
        Load("head_norm", "head_norm_backward", qkv.DType).Launch(
            blocks, Threads, sharedBytes,
            dy, qkv, queryWeight, keyWeight, rstd, sizes.Rows, sizes.Heads, sizes.KvHeads, dim, dx, queries, keys);
        AddColumnSums(queries, dQueryWeight);
        AddColumnSums(keys, dKeyWeight);
    }

    /// <summary>Blocks that have a warp for every head of every row.</summary>
    private static int HeadBlocks(HeadNormSizes sizes) => Blocks((long)sizes.Rows * (sizes.Normed + sizes.KvHeads), Threads / 32);
}
