using System.Globalization;

namespace QSharp.Engine;

/// <summary>Where tensors live and ops run. Owns memory; knows no op and no model.</summary>
public abstract class Device : IDisposable
{
    public abstract string Name { get; }

    /// <summary>Whether tensors of this device can be read by the host through <see cref="Tensor.Span{T}"/>.</summary>
    public abstract bool IsHost { get; }

    /// <summary>The type in which activations are kept besides F32: BF16 on CUDA, F32 itself on the CPU.</summary>
    public abstract DType ActivationType { get; }

    /// <summary>Bytes allocated and not yet disposed.</summary>
    public long AllocatedBytes { get; private protected set; }

    /// <summary>Allocations made so far; a training or decoding step must not raise it.</summary>
    public long Allocations { get; private protected set; }

    /// <summary>Memory of at least <paramref name="bytes"/> bytes, zeroed, 256-byte aligned.</summary>
    public abstract DeviceBuffer Allocate(long bytes);

    /// <summary>Copies host values into a tensor of the same count.</summary>
    public abstract void Upload<T>(ReadOnlySpan<T> source, Tensor destination) where T : unmanaged;

    /// <summary>Copies a tensor to the host, waiting for the work that writes it.</summary>
    public abstract void Download<T>(Tensor source, Span<T> destination) where T : unmanaged;

    /// <summary>Makes a step that can be replayed: a captured graph on CUDA, the action itself on the CPU.</summary>
    public abstract RecordedStep Record(Action step);

    /// <summary>Waits until all work given to the device is done.</summary>
    public abstract void Synchronize();

    internal abstract void Free(DeviceBuffer buffer);

    public void Dispose()
    {
        if (Trace.Current is { } trace && trace.IsOf(this)) trace.Dispose();
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    protected abstract void Dispose(bool disposing);

    /// <summary>Checks that so many host values of a size are the elements of a tensor.</summary>
    private protected static void RequireMatch(int length, Tensor tensor, int size)
    {
        if (length != tensor.Count || size != tensor.DType.Size())
            throw new ArgumentException($"{length} elements of {size} bytes do not match the tensor {tensor}.");
    }
}

/// <summary>A step of ops with fixed shapes and addresses, ready to run again.</summary>
public abstract class RecordedStep : IDisposable
{
    public abstract void Run();

    public abstract void Dispose();
}

/// <summary>One allocation on a device; freed by <see cref="Dispose"/>.</summary>
public sealed class DeviceBuffer : IDisposable
{
    internal DeviceBuffer(Device device, nint address, long bytes)
    {
        Device = device;
        Address = address;
        Bytes = bytes;
    }

    public Device Device { get; }

    public nint Address { get; private set; }

    public long Bytes { get; }

    public void Dispose()
    {
        if (Address == 0) return;
        Device.Free(this);
        Address = 0;
    }
}

public static class Devices
{
    /// <summary>Opens a device by its name on the command line.</summary>
    /// <param name="name"><c>cpu</c>, <c>cuda</c>, <c>cuda:N</c>, or <c>auto</c>: the first card if one works, else the CPU.</param>
    /// <param name="threads">Threads of the CPU device; 0 takes one for each processor.</param>
    /// <param name="kernels">The folder of the CUDA kernels; null searches for it.</param>
    /// <exception cref="UserException">The name is not known, or the card cannot be opened.</exception>
    public static Device Open(string name, int threads = 0, string? kernels = null)
    {
        if (name == "cpu") return new CpuDevice(threads);
        if (name == "cuda") return CudaDevice.Open(0, kernels);
        if (name.StartsWith("cuda:", StringComparison.Ordinal)
            && int.TryParse(name.AsSpan(5), NumberStyles.None, CultureInfo.InvariantCulture, out int ordinal)) return CudaDevice.Open(ordinal, kernels);
        if (name != "auto") throw new UserException($"--device {name}: the devices are cpu, cuda, cuda:N and auto.");
        try
        {
            CudaDevice card = CudaDevice.Open(0, kernels);
            try
            {
                Libraries.Require(Libraries.CuBlas);   // else missed at the first large product
            }
            catch
            {
                card.Dispose();
                throw;
            }
            return card;
        }
        catch (UserException)
        {
            return new CpuDevice(threads);
        }
    }
}
