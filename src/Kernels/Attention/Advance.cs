using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>lengths[r] += counts[r], or <paramref name="by"/> where counts are None: the columns just written are in use.</summary>
    /// <param name="lengths">[R] I32, in place.</param>
    /// <param name="counts">[R] I32 or None.</param>
    /// <param name="by">What is added without counts.</param>
    public void Advance(Tensor lengths, Tensor counts, int by)
    {
        int rows = (int)lengths.Count;
        Require(lengths, rows, DType.I32);
        if (!counts.IsNone) Require(counts, rows, DType.I32);
        using OpSpan traced = Traced(lengths, counts);
        if (rows > 0) AdvanceCore(lengths, counts, by);
    }

    private protected abstract void AdvanceCore(Tensor lengths, Tensor counts, int by);
}

public sealed unsafe partial class CpuOps
{
    // A handful of integers: not worth waking the threads for.
    private protected override void AdvanceCore(Tensor lengths, Tensor counts, int by)
    {
        int* length = lengths.Ints(), count = counts.Ints();
        for (long r = 0; r < lengths.Count; r++) length[r] += count == null ? by : count[r];
    }
}
