using System.Numerics;

using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void TopKCore(Tensor logits, Tensor ids, Tensor values)
    {
        const int TokensPerBlock = 4096;   // CHUNK of top_k.cu
        int rows = logits.Shape.Rows, columns = logits.Shape.Last, k = ids.Shape.Last, chunks = Blocks(columns, TokensPerBlock);
        Require(k <= GuidanceRule.MostCandidates, $"on CUDA no more than {GuidanceRule.MostCandidates} ids of a row are sorted, not {k}.", nameof(TopK));
        int listed = chunks * k;
        if (chunks == 1 || listed > GuidanceRule.MostCandidates)
        {
            Load("top_k", "top_k").Launch(rows, SelectThreads, Padded(k) * sizeof(ulong), logits, ids, values, columns, k, Padded(k));
            return;
        }
        Tensor keys = device.Scratch(rows * listed * (sizeof(ulong) / sizeof(float)));
        Load("top_k", "top_k_chunks").Launch((rows, chunks), SelectThreads, 0, logits, keys, columns, k);
        Load("top_k", "top_k_merge").Launch(
            rows, SelectThreads, Padded(listed) * sizeof(ulong), logits, keys, ids, values, columns, k, listed, Padded(listed));

        static int Padded(int count) => (int)BitOperations.RoundUpToPowerOf2((uint)count);
    }
}
