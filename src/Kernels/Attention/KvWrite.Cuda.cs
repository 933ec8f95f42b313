using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void KvWriteCore(
        Tensor qkv, Tensor positions, Tensor frequencies, Tensor lengths, Tensor counts, CacheSizes sizes, Tensor keys, Tensor values)
    {
        bool turns = !positions.IsNone;
        int threads = Math.Max(CopyThreads(sizes.Column, qkv.DType), turns ? RopeThreads(sizes.Heads, sizes.HeadDim) : 0);
        Load("kv_write", "kv_write", qkv.DType).Launch(
            sizes.Rows * sizes.Tokens, threads, turns ? RopeBytes(sizes.HeadDim) : 0,
            qkv, positions, frequencies, lengths, counts, keys, values,
            sizes.Tokens, sizes.Capacity, sizes.Heads, sizes.KvHeads, sizes.HeadDim);
    }

    /// <summary>Whole warps that copy a row in pieces of 16 bytes, as many as there are pieces but for a limit.</summary>
    private static int CopyThreads(int elements, DType type) => Math.Clamp(Blocks((long)elements * type.Size(), 16 * 32) * 32, 32, Threads);
}
