using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>
    /// Positions of new tokens behind a cache: lengths[r] + s for a sequence, lengths[r] for all siblings, which compete
    /// for one place.
    /// </summary>
    /// <param name="lengths">[R] I32, columns already used.</param>
    /// <param name="positions">[R, S] I32.</param>
    public void CachePositions(Tensor lengths, CacheLayout layout, Tensor positions)
    {
        int rows = (int)lengths.Count;
        Require(lengths, rows, DType.I32);
        Require(positions, rows, rows == 0 ? 0 : (int)(positions.Count / rows), DType.I32);
        using OpSpan traced = Traced(lengths, positions);
        CachePositionsCore(lengths, layout, positions);
    }

    private protected abstract void CachePositionsCore(Tensor lengths, CacheLayout layout, Tensor positions);
}

public sealed unsafe partial class CpuOps
{
    private protected override void CachePositionsCore(Tensor lengths, CacheLayout layout, Tensor positions)
    {
        int rows = (int)lengths.Count;
        int tokens = rows == 0 ? 0 : (int)(positions.Count / rows);
        int step = layout == CacheLayout.Siblings ? 0 : 1;
        int* length = lengths.Ints(), position = positions.Ints();
        for (int r = 0; r < rows; r++)
            for (int s = 0; s < tokens; s++) *position++ = length[r] + s * step;
    }
}
