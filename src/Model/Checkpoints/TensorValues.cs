using System.Numerics;
using System.Runtime.InteropServices;

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

    /// <summary>Refuses a tensor that holds NaN or an infinity: nothing computed with it would mean anything.</summary>
    /// <param name="path">Of the file, for the message.</param>
    /// <exception cref="UserException">It does.</exception>
    public static void RequireFinite(ReadOnlySpan<float> values, string path, string name)
    {
        // 0·x is 0 for a number and NaN for all else, and a NaN stays in a sum.
        Vector<float> sum = Vector<float>.Zero;
        ReadOnlySpan<Vector<float>> vectors = MemoryMarshal.Cast<float, Vector<float>>(values);
        foreach (Vector<float> vector in vectors) sum += vector * Vector<float>.Zero;
        float last = Vector.Sum(sum);
        foreach (float value in values[(vectors.Length * Vector<float>.Count)..]) last += value * 0;
        if (float.IsNaN(last))
            throw new UserException($"{path}: the tensor '{name}' holds NaN or an infinite value; the file is damaged, or its training diverged, so take it again from where it came from, or an earlier one.");
    }

    public static long[] Shape(Tensor value)
    {
        long[] shape = new long[value.Shape.Rank];
        for (int i = 0; i < shape.Length; i++) shape[i] = value.Shape[i];
        return shape;
    }
}
