using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void CachePositionsCore(
        Tensor promptLengths, Tensor promptOf, Tensor lengths, CacheLayout layout, Tensor positions)
    {
        int count = (int)positions.Count;
        Load("cache_positions", "cache_positions").Launch(
            Blocks(count, Threads), Threads, 0,
            promptLengths, promptOf, lengths, positions, count == 0 ? 0 : count / (int)lengths.Count, layout == CacheLayout.Siblings ? 0 : 1, count);
    }
}
