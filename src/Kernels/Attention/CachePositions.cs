using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>
    /// Positions of new tokens behind a cache: promptLengths[promptOf[r]] + lengths[r] + s for a sequence, without s for all
    /// siblings, which compete for one place.
    /// </summary>
    /// <param name="promptLengths">[Q] I32, or None for a cache without prompts.</param>
    /// <param name="promptOf">[R] I32, or None.</param>
    /// <param name="lengths">[R] I32, own columns already used.</param>
    /// <param name="positions">[R, S] I32.</param>
    public void CachePositions(Tensor promptLengths, Tensor promptOf, Tensor lengths, CacheLayout layout, Tensor positions)
    {
        int rows = (int)lengths.Count;
        Require(lengths, rows, DType.I32);
        Require(positions, rows, rows == 0 ? 0 : (int)(positions.Count / rows), DType.I32);
        Require(promptLengths.IsNone == promptOf.IsNone, $"lengths of prompts are {promptLengths}, but prompts of rows are {promptOf}.");
        if (!promptOf.IsNone)
        {
            Require(promptLengths, (int)promptLengths.Count, DType.I32);
            Require(promptOf, rows, DType.I32);
        }
        using OpSpan traced = Traced(promptLengths, promptOf, lengths, positions);
        CachePositionsCore(promptLengths, promptOf, lengths, layout, positions);
    }

    private protected abstract void CachePositionsCore(
        Tensor promptLengths, Tensor promptOf, Tensor lengths, CacheLayout layout, Tensor positions);
}

public sealed unsafe partial class CpuOps
{
    private protected override void CachePositionsCore(
        Tensor promptLengths, Tensor promptOf, Tensor lengths, CacheLayout layout, Tensor positions)
    {
        int rows = (int)lengths.Count;
        int tokens = rows == 0 ? 0 : (int)(positions.Count / rows);
        int step = layout == CacheLayout.Siblings ? 0 : 1;
        CheckPrompts("CachePositions", promptLengths, promptOf);
        int* length = lengths.Ints(), before = promptLengths.Ints(), of = promptOf.Ints(), position = positions.Ints();
        for (int r = 0; r < rows; r++)
        {
            int first = length[r] + (of == null ? 0 : before[of[r]]);
            for (int s = 0; s < tokens; s++) *position++ = first + s * step;
        }
    }
}
