namespace QSharp.Tests;

/// <summary>Managed memory that a step takes.</summary>
internal static class Allocated
{
    /// <summary>
    /// The least number of bytes that the calling thread allocated in one of a few runs of a step. The runtime itself
    /// allocates now and then, when threads first wait for one another; what a step allocates is there every time.
    /// </summary>
    public static long Bytes(Action step)
    {
        long least = long.MaxValue;
        for (int i = 0; i < 5 && least > 0; i++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            step();
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }
        return least;
    }
}
