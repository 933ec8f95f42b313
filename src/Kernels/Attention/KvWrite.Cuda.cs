using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void KvWriteCore(
        Tensor qkv, Tensor lengths, Tensor counts, CacheSizes sizes, Tensor keys, Tensor values) =>
        Load("kv_write", "kv_write", qkv.DType).Launch(
            sizes.Rows * sizes.Tokens, CopyThreads(2 * sizes.Column, qkv.DType), 0,
            qkv, lengths, counts, keys, values, sizes.Tokens, sizes.Capacity, sizes.Heads * sizes.HeadDim, sizes.Column);

    /// <summary>Whole warps that copy a row in pieces of 16 bytes, as many as there are pieces but for a limit.</summary>
    private static int CopyThreads(int elements, DType type) => Math.Clamp(Blocks((long)elements * type.Size(), 16 * 32) * 32, 32, Threads);
}
