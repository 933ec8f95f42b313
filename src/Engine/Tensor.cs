using System.Runtime.CompilerServices;

namespace QSharp.Engine;

/// <summary>
/// A typed, contiguous view of device memory: 40 bytes, passed by value. It owns nothing and computes nothing;
/// <see cref="None"/> stands for an absent tensor (a missing bias, say).
/// </summary>
public readonly record struct Tensor(DeviceBuffer? Buffer, long Offset, DType DType, Shape Shape)
{
    public static Tensor None => default;

    public bool IsNone => Buffer is null;

    public long Count => Shape.Count;

    public long Bytes => Count * DType.Size();

    /// <summary>Device address of the first element; 0 for <see cref="None"/>.</summary>
    public nint Address => Buffer is null ? 0 : Buffer.Address + (nint)Offset;

    /// <summary>The elements, for tensors in host memory only.</summary>
    /// <exception cref="ArgumentException">The tensor lies on another device, is None, or has another element type.</exception>
    public unsafe Span<T> Span<T>() where T : unmanaged
    {
        if (Buffer is null || !Buffer.Device.IsHost)
            throw new ArgumentException("Only a tensor in host memory has a span; use Device.Download.");
        if (Unsafe.SizeOf<T>() != DType.Size())
            throw new ArgumentException($"A span of {typeof(T).Name} does not fit a tensor of {DType}.");
        return new Span<T>((void*)Address, checked((int)Count));
    }

    /// <summary>Element <paramref name="index"/> of the slowest dimension, as a tensor of one rank less.</summary>
    public Tensor Slice(int index)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, Shape.D0);
        Shape inner = Shape.Inner;
        return this with { Offset = Offset + index * inner.Count * DType.Size(), Shape = inner };
    }

    /// <summary>Rows <paramref name="start"/> … <paramref name="start"/> + <paramref name="count"/> − 1 of the slowest dimension.</summary>
    public Tensor Range(int start, int count)
    {
        if (start < 0 || count < 0 || start > Shape.D0 - count)
            throw new ArgumentException($"Range {start} + {count} lies outside of {Shape}.");
        return this with { Offset = Offset + start * Shape.Inner.Count * DType.Size(), Shape = Shape with { D0 = count } };
    }

    /// <summary>The same elements seen with another shape of equal count.</summary>
    public Tensor As(Shape shape)
    {
        if (shape.Count != Count)
            throw new ArgumentException($"{Shape} has {Count} elements and cannot be seen as {shape}.");
        return this with { Shape = shape };
    }

    public override string ToString() => IsNone ? "none" : $"{DType}{Shape}";
}
