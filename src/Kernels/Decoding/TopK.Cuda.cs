using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void TopKCore(Tensor logits, Tensor ids, Tensor values)
    {
        int k = ids.Shape.Last, padded = (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)k);
        Require(k <= Tilts.MostCandidates, $"on CUDA no more than {Tilts.MostCandidates} ids of a row are sorted, not {k}.", nameof(TopK));
        Load("top_k", "top_k").Launch(
            logits.Shape.Rows, SelectThreads, padded * sizeof(ulong), logits, ids, values, logits.Shape.Last, k, padded);
    }
}
