using System.Numerics;
using System.Runtime.InteropServices;

namespace QSharp.Engine;

/// <summary>bfloat16: the upper half of a float32.</summary>
public static class BFloat16
{
    /// <summary>Rounds to the nearest, ties to even; a NaN stays one.</summary>
    public static ushort Round(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return float.IsNaN(value) ? (ushort)((bits >> 16) | 0x40) : (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }

    public static float Widen(ushort value) => BitConverter.UInt32BitsToSingle((uint)value << 16);

    /// <inheritdoc cref="Round(float)"/>
    public static void Round(ReadOnlySpan<float> source, Span<ushort> destination)
    {
        ReadOnlySpan<uint> bits = MemoryMarshal.Cast<float, uint>(source);
        int i = 0, width = Vector<uint>.Count;
        for (; i + 2 * width <= bits.Length; i += 2 * width)
            Vector.Narrow(RoundToHalf(new Vector<uint>(bits[i..])), RoundToHalf(new Vector<uint>(bits[(i + width)..]))).CopyTo(destination[i..]);
        for (; i < bits.Length; i++) destination[i] = Round(source[i]);
    }

    public static void Widen(ReadOnlySpan<ushort> source, Span<float> destination)
    {
        Span<uint> bits = MemoryMarshal.Cast<float, uint>(destination);
        int i = 0, width = Vector<ushort>.Count;
        for (; i + width <= source.Length; i += width)
        {
            Vector.Widen(new Vector<ushort>(source[i..]), out Vector<uint> low, out Vector<uint> high);
            Vector.ShiftLeft(low, 16).CopyTo(bits[i..]);
            Vector.ShiftLeft(high, 16).CopyTo(bits[(i + width / 2)..]);
        }
        for (; i < source.Length; i++) bits[i] = (uint)source[i] << 16;
    }

    /// <summary>The value of each lane as bfloat16 has it, in the lane's lower half.</summary>
    private static Vector<uint> RoundToHalf(Vector<uint> bits)
    {
        Vector<uint> upper = Vector.ShiftRightLogical(bits, 16);
        Vector<uint> rounded = Vector.ShiftRightLogical(bits + new Vector<uint>(0x7FFF) + (upper & Vector<uint>.One), 16);
        Vector<uint> isNaN = Vector.GreaterThan(bits & new Vector<uint>(0x7FFF_FFFF), new Vector<uint>(0x7F80_0000));
        return Vector.ConditionalSelect(isNaN, upper | new Vector<uint>(0x40), rounded);
    }
}
