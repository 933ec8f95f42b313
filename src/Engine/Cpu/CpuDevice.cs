using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace QSharp.Engine;

/// <summary>The default device: aligned native memory and a fixed team of threads. Works on any machine.</summary>
public sealed unsafe class CpuDevice : Device
{
    private const nuint Alignment = 256;

    /// <param name="threads">Threads that share each op, the caller included; 0 takes one for each processor.</param>
    public CpuDevice(int threads = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(threads);
        Workers = new Workers(threads == 0 ? Environment.ProcessorCount : threads);
    }

    public override string Name => "cpu";

    public override bool IsHost => true;

    /// <summary>The threads of this device.</summary>
    public Workers Workers { get; }

    public override DeviceBuffer Allocate(long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        nuint size = (nuint)Math.Max(bytes, 1);
        void* memory;
        try
        {
            memory = NativeMemory.AlignedAlloc(size, Alignment);
        }
        catch (OutOfMemoryException inner)
        {
            throw new UserException($"The machine has no {bytes >> 20} MiB of memory left (this program holds {AllocatedBytes >> 20} MiB); choose a smaller batch, model or context.", inner);
        }
        NativeMemory.Clear(memory, size);
        AllocatedBytes += bytes;
        Allocations++;
        return new DeviceBuffer(this, (nint)memory, bytes);
    }

    internal override void Free(DeviceBuffer buffer)
    {
        NativeMemory.AlignedFree((void*)buffer.Address);
        AllocatedBytes -= buffer.Bytes;
    }

    public override void Upload<T>(ReadOnlySpan<T> source, Tensor destination)
    {
        Require(source.Length, destination, Unsafe.SizeOf<T>());
        source.CopyTo(destination.Span<T>());
    }

    public override void Download<T>(Tensor source, Span<T> destination)
    {
        Require(destination.Length, source, Unsafe.SizeOf<T>());
        source.Span<T>().CopyTo(destination);
    }

    public override RecordedStep Record(Action step) => new PlainStep(step);

    public override void Synchronize() { }

    protected override void Dispose(bool disposing)
    {
        if (disposing) Workers.Dispose();
    }

    private static void Require(int length, Tensor tensor, int size)
    {
        if (length != tensor.Count || size != tensor.DType.Size())
            throw new ArgumentException($"{length} elements of {size} bytes do not match the tensor {tensor}.");
    }

    private sealed class PlainStep(Action step) : RecordedStep
    {
        public override void Run() => step();

        public override void Dispose() { }
    }
}
