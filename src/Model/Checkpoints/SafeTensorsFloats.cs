using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>Between the float types of a checkpoint and fp32. Widening is exact; narrowing rounds to nearest, ties to even.</summary>
public static class SafeTensorsFloats
{
    private const int Block = 4096;

    /// <summary>Whether <see cref="Widen"/> knows the type: F32, F16 and BF16.</summary>
    public static bool IsFloat(string dtype) => dtype is "F32" or "F16" or "BF16";

    /// <summary>Little-endian elements of type <paramref name="dtype"/>, not necessarily aligned, to fp32.</summary>
    public static void Widen(string dtype, ReadOnlySpan<byte> source, Span<float> destination)
    {
        int size = dtype == "F32" ? 4 : 2;
        if (!IsFloat(dtype)) throw new ArgumentException($"Widen: {dtype} is none of F32, F16, BF16.", nameof(dtype));
        if (source.Length != (long)destination.Length * size)
            throw new ArgumentException($"Widen: {source.Length} bytes of {dtype} for {destination.Length} floats.", nameof(destination));
        if (dtype == "F32") source.CopyTo(MemoryMarshal.AsBytes(destination));
        else if (dtype == "BF16") BFloat16.Widen(MemoryMarshal.Cast<byte, ushort>(source), destination);
        else WidenHalf(MemoryMarshal.Cast<byte, ushort>(source), destination);
    }

    /// <summary>Writes floats as little-endian elements of type <paramref name="dtype"/> (F32, F16 or BF16).</summary>
    public static void Write(Stream stream, ReadOnlySpan<float> values, string dtype)
    {
        if (!IsFloat(dtype)) throw new ArgumentException($"Write: {dtype} is none of F32, F16, BF16.", nameof(dtype));
        if (dtype == "F32")
        {
            // In parts: the bytes of a large tensor are more than one span can hold.
            for (ReadOnlySpan<float> rest = values; !rest.IsEmpty; rest = rest[Math.Min(rest.Length, 1 << 24)..])
                stream.Write(MemoryMarshal.AsBytes(rest[..Math.Min(rest.Length, 1 << 24)]));
            return;
        }
        Span<ushort> narrow = stackalloc ushort[Block];
        for (ReadOnlySpan<float> rest = values; !rest.IsEmpty; rest = rest[Math.Min(rest.Length, Block)..])
        {
            ReadOnlySpan<float> part = rest[..Math.Min(rest.Length, Block)];
            if (dtype == "BF16") BFloat16.Round(part, narrow);
            else for (int i = 0; i < part.Length; i++) narrow[i] = BitConverter.HalfToUInt16Bits((Half)part[i]);
            stream.Write(MemoryMarshal.AsBytes(narrow[..part.Length]));
        }
    }

    private static void WidenHalf(ReadOnlySpan<ushort> source, Span<float> destination)
    {
        int i = 0;
        for (; i <= source.Length - Vector256<ushort>.Count; i += Vector256<ushort>.Count)
        {
            (Vector256<uint> low, Vector256<uint> high) = Vector256.Widen(Vector256.Create(source.Slice(i, Vector256<ushort>.Count)));
            WidenHalf(low).CopyTo(destination[i..]);
            WidenHalf(high).CopyTo(destination[(i + Vector256<uint>.Count)..]);
        }
        for (; i < source.Length; i++) destination[i] = (float)BitConverter.UInt16BitsToHalf(source[i]);
    }

    /// <summary>
    /// Exponent and mantissa moved to their places in fp32 give the value divided by 2¹¹² (the difference of the biases),
    /// for normal and subnormal numbers alike; multiplying puts that right, exactly. ∞ and NaN get all exponent bits.
    /// (The trick is in Fabian Giesen's "Half to float done quic".)
    /// </summary>
    private static Vector256<float> WidenHalf(Vector256<uint> half)
    {
        Vector256<uint> magnitude = (half & Vector256.Create(0x7FFFu)) << 13;
        Vector256<uint> sign = (half & Vector256.Create(0x8000u)) << 16;
        Vector256<uint> bits = (magnitude.AsSingle() * Vector256.Create(5.192296858534828e33f)).AsUInt32();   // 2¹¹²
        bits |= Vector256.GreaterThanOrEqual(magnitude, Vector256.Create(0x0F800000u)) & Vector256.Create(0x7F800000u);
        return (bits | sign).AsSingle();
    }
}
