using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>Arrays of the host to tensors and back, for checks: each tensor in an allocation of its own.</summary>
internal static class HostValues
{
    /// <summary>A new tensor with these values; it is freed with its buffer, or with the device.</summary>
    public static Tensor Upload<T>(Device device, DType type, params T[] values) where T : unmanaged
    {
        Tensor tensor = new(device.Allocate((long)values.Length * type.Size()), 0, type, values.Length);
        device.Upload<T>(values, tensor);
        return tensor;
    }

    public static T[] Download<T>(Tensor tensor) where T : unmanaged
    {
        T[] values = new T[tensor.Count];
        tensor.Buffer!.Device.Download<T>(tensor, values);
        return values;
    }
}
