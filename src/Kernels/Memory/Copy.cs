using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>destination = source.</summary>
    /// <param name="source">Any shape and element type.</param>
    /// <param name="destination">The same element type and number of elements; the two do not overlap.</param>
    public void Copy(Tensor source, Tensor destination)
    {
        Require(source, checked((int)source.Count), source.DType);
        Require(destination, (int)source.Count, source.DType);
        using OpSpan traced = Traced(source, destination);
        CopyCore(source, destination);
    }

    private protected abstract void CopyCore(Tensor source, Tensor destination);
}

public sealed unsafe partial class CpuOps
{
    private const int BytesPerCopy = 1 << 14;

    private protected override void CopyCore(Tensor source, Tensor destination)
    {
        long items = (source.Bytes + BytesPerCopy - 1) / BytesPerCopy;
        _workers.For((int)items, 4, new CopyWork((byte*)source.Address, (byte*)destination.Address, source.Bytes));
    }

    private readonly struct CopyWork(byte* source, byte* destination, long bytes) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            long first = (long)begin * BytesPerCopy, count = Math.Min((long)end * BytesPerCopy, bytes) - first;
            Buffer.MemoryCopy(source + first, destination + first, count, count);
        }
    }
}
