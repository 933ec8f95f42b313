namespace QSharp.Engine;

/// <summary>A mark on a device's stream, with the time at which the card passed it.</summary>
public sealed class CudaEvent : IDisposable
{
    private readonly CudaDevice _device;
    private nint _handle;

    public CudaEvent(CudaDevice device)
    {
        _device = device;
        device.MakeCurrent();
        device.Check(CuDriver.cuEventCreate(out _handle, 0), nameof(CuDriver.cuEventCreate));
    }

    /// <summary>Puts the mark behind all work given so far.</summary>
    public void Record()
    {
        _device.MakeCurrent();
        _device.Check(CuDriver.cuEventRecord(_handle, _device.Stream), nameof(CuDriver.cuEventRecord));
    }

    /// <summary>Waits until the card has passed the mark.</summary>
    public void Wait()
    {
        _device.MakeCurrent();
        _device.Check(CuDriver.cuEventSynchronize(_handle), nameof(CuDriver.cuEventSynchronize));
    }

    /// <summary>Milliseconds of the card's clock from an earlier mark to this one; both must have passed.</summary>
    public float MillisecondsSince(CudaEvent start)
    {
        _device.Check(CuDriver.cuEventElapsedTime(out float milliseconds, start._handle, _handle), nameof(CuDriver.cuEventElapsedTime));
        return milliseconds;
    }

    public void Dispose()
    {
        if (_handle == 0) return;
        nint handle = _handle;
        _handle = 0;
        _device.Release(() => CuDriver.cuEventDestroy_v2(handle));
    }
}
