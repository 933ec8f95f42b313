using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void AdvanceCore(Tensor lengths, Tensor counts, int by) =>
        Load("advance", "advance").Launch(Blocks(lengths.Count, Threads), Threads, 0, lengths, counts, by, (int)lengths.Count);
}
