using QSharp.Engine;

namespace QSharp.Model;

/// <summary>Parameters as floats on the host, whatever their element type on the device.</summary>
internal static class TensorValues
{
    public static float[] Read(Tensor tensor)
    {
        float[] values = new float[tensor.Count];
        Read(tensor, values);
        return values;
    }

    /// <summary>The same into memory at hand; F32 allocates nothing.</summary>
    public static void Read(Tensor tensor, Span<float> values)
    {
        Device device = tensor.Buffer!.Device;
        if (tensor.DType == DType.F32)
        {
            device.Download(tensor, values);
            return;
        }
        ushort[] halves = new ushort[tensor.Count];
        device.Download<ushort>(tensor, halves);
        BFloat16.Widen(halves, values);
    }

    public static void Write(ReadOnlySpan<float> values, Tensor tensor)
    {
        Device device = tensor.Buffer!.Device;
        if (tensor.DType == DType.F32)
        {
            device.Upload(values, tensor);
            return;
        }
        if (device.IsHost)
        {
            BFloat16.Round(values, tensor.Span<ushort>());
            return;
        }
        ushort[] halves = new ushort[values.Length];
        BFloat16.Round(values, halves);
        device.Upload<ushort>(halves, tensor);
    }

    public static long[] Shape(Tensor value)
    {
        long[] shape = new long[value.Shape.Rank];
        for (int i = 0; i < shape.Length; i++) shape[i] = value.Shape[i];
        return shape;
    }
}
