using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace QSharp.Engine;

/// <summary>The default device: aligned native memory and a fixed team of threads. Works on any machine.</summary>
public sealed unsafe partial class CpuDevice : Device
{
    private const nuint Alignment = 256, HugePage = 2 << 20;
    private const int AdviseHugePages = 14;   // MADV_HUGEPAGE

    /// <param name="threads">Threads that share each op, the caller included; 0 takes one for each processor.</param>
    public CpuDevice(int threads = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(threads);
        Workers = new Workers(threads == 0 ? Environment.ProcessorCount : threads);
    }

    public override string Name => "cpu";

    public override bool IsHost => true;

    public override DType ActivationType => DType.F32;

    /// <summary>The threads of this device.</summary>
    public Workers Workers { get; }

    public override DeviceBuffer Allocate(long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        nuint size = (nuint)Math.Max(bytes, 1);
        bool isLarge = size >= 2 * HugePage && OperatingSystem.IsLinux();
        nuint alignment = isLarge ? HugePage : Alignment;
        byte* start;
        try
        {
            // Zeroed by the system page by page as it is touched; where it begins is noted in front of it.
            start = (byte*)NativeMemory.AllocZeroed(size + alignment + (nuint)sizeof(nint));
        }
        catch (OutOfMemoryException inner)
        {
            throw new UserException($"The machine has no {bytes >> 20} MiB of memory left (this program holds {AllocatedBytes >> 20} MiB); choose a smaller batch, model or context.", inner);
        }
        byte* memory = (byte*)(((nuint)start + (nuint)sizeof(nint) + alignment - 1) / alignment * alignment);
        ((nint*)memory)[-1] = (nint)start;
        // A model's weights in pages of 2 MiB cost a hundredth of the page faults, and fewer misses of the TLB. Where the system refuses, nothing is lost.
        if (isLarge) _ = Advise(memory, size, AdviseHugePages);
        AllocatedBytes += bytes;
        Allocations++;
        return new DeviceBuffer(this, (nint)memory, bytes);
    }

    internal override void Free(DeviceBuffer buffer)
    {
        NativeMemory.Free((void*)((nint*)buffer.Address)[-1]);
        AllocatedBytes -= buffer.Bytes;
    }

    public override void Upload<T>(ReadOnlySpan<T> source, Tensor destination)
    {
        RequireMatch(source.Length, destination, Unsafe.SizeOf<T>());
        source.CopyTo(destination.Span<T>());
    }

    public override void Download<T>(Tensor source, Span<T> destination)
    {
        RequireMatch(destination.Length, source, Unsafe.SizeOf<T>());
        source.Span<T>().CopyTo(destination);
    }

    public override RecordedStep Record(Action step) => new PlainStep(step);

    public override void Synchronize() { }

    protected override void Dispose(bool disposing)
    {
        if (disposing) Workers.Dispose();
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(void* address, nuint length, int advice);

    private sealed class PlainStep(Action step) : RecordedStep
    {
        public override void Run() => step();

        public override void Dispose() { }
    }
}
