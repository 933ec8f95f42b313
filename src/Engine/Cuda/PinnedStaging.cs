namespace QSharp.Engine;

/// <summary>
/// Copies between ordinary host memory and a card by way of pinned memory in two halves: an upload returns as soon as its
/// values are staged, and while one half is on its way the other is filled. A download waits for its values. Several threads
/// may copy at a time, as when a model's tensors are loaded; they take turns.
/// </summary>
internal sealed unsafe class PinnedStaging : IDisposable
{
    private const int HalfBytes = 2 << 20;

    private readonly CudaDevice _device;
    private readonly CudaEvent[] _free = new CudaEvent[2];   // passed when the card has read a half
    private readonly bool[] _isUsed = new bool[2];
    private readonly nint _memory;
    private readonly Lock _turn = new();
    private int _next;

    public PinnedStaging(CudaDevice device)
    {
        _device = device;
        device.Check(CuDriver.cuMemHostAlloc(out _memory, 2 * HalfBytes, 0), nameof(CuDriver.cuMemHostAlloc));
        try
        {
            for (int i = 0; i < 2; i++) _free[i] = new CudaEvent(device);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public void Upload(ReadOnlySpan<byte> source, nint destination)
    {
        using Lock.Scope _ = _turn.EnterScope();
        while (source.Length > 0)
        {
            int bytes = Math.Min(source.Length, HalfBytes), half = Take();
            source[..bytes].CopyTo(Half(half));
            _device.Check(
                CuDriver.cuMemcpyHtoDAsync_v2(destination, Address(half), (nuint)bytes, _device.Stream), nameof(CuDriver.cuMemcpyHtoDAsync_v2));
            _free[half].Record();
            _isUsed[half] = true;
            source = source[bytes..];
            destination += bytes;
        }
    }

    public void Download(nint source, Span<byte> destination)
    {
        using Lock.Scope _ = _turn.EnterScope();
        while (destination.Length > 0)
        {
            int bytes = Math.Min(destination.Length, HalfBytes), half = Take();
            _device.Check(
                CuDriver.cuMemcpyDtoHAsync_v2(Address(half), source, (nuint)bytes, _device.Stream), nameof(CuDriver.cuMemcpyDtoHAsync_v2));
            _device.Synchronize();
            Half(half)[..bytes].CopyTo(destination);
            destination = destination[bytes..];
            source += bytes;
        }
    }

    public void Dispose()
    {
        foreach (CudaEvent? mark in _free) mark?.Dispose();
        _device.Release(() => CuDriver.cuMemFreeHost(_memory));
    }

    private int Take()
    {
        _device.MakeCurrent();
        int half = _next;
        _next = 1 - _next;
        if (_isUsed[half]) _free[half].Wait();
        _isUsed[half] = false;
        return half;
    }

    private nint Address(int half) => _memory + half * HalfBytes;

    private Span<byte> Half(int half) => new((void*)Address(half), HalfBytes);
}
