using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace QSharp.Model;

/// <summary>
/// Blocks of quantised weights to floats, in float32 and in the order of ggml's own reference functions, so that every
/// value has its bits. q: an integer of few bits; d and m: scale and offset of a block or of a part of it.
/// </summary>
internal static class BlockQuants
{
    /// <summary>Whether values of a type can be read.</summary>
    public static bool IsSupported(string type) => Reader(type) is not null;

    /// <summary>Whole blocks to floats.</summary>
    /// <exception cref="ArgumentException">The type is none of those that can be read.</exception>
    public static void Dequantise(GgufType type, ReadOnlySpan<byte> source, Span<float> destination)
    {
        if (type.Name is "F32" or "F16" or "BF16")
        {
            SafeTensorsFloats.Widen(type.Name, source, destination);
            return;
        }
        BlockReader read = Reader(type.Name) ?? throw new ArgumentException($"{type.Name} cannot be read.");
        for (int at = 0; at < destination.Length; at += type.BlockSize, source = source[type.BlockBytes..])
            read(source[..type.BlockBytes], destination.Slice(at, type.BlockSize));
    }

    private delegate void BlockReader(ReadOnlySpan<byte> block, Span<float> y);

    private static BlockReader? Reader(string type) => type switch
    {
        "F32" or "F16" or "BF16" => static (_, _) => { }
        ,   // by whole spans, above
        "Q4_0" => Q4Zero,
        "Q4_1" => Q4One,
        "Q5_0" => Q5Zero,
        "Q5_1" => Q5One,
        "Q8_0" => Q8Zero,
        "Q2_K" => Q2K,
        "Q3_K" => Q3K,
        "Q4_K" => Q4K,
        "Q5_K" => Q5K,
        "Q6_K" => Q6K,
        _ => null,
    };

    private static float Half(ReadOnlySpan<byte> block, int at) => (float)BinaryPrimitives.ReadHalfLittleEndian(block[at..]);

    /// <summary>Sixteen integers as floats, exactly.</summary>
    private static (Vector256<float> Low, Vector256<float> High) Floats(Vector128<byte> q)
    {
        (Vector128<short> low, Vector128<short> high) = Vector128.Widen(q.AsSByte());
        (Vector128<int> q0, Vector128<int> q1) = Vector128.Widen(low);
        (Vector128<int> q2, Vector128<int> q3) = Vector128.Widen(high);
        return (Vector256.ConvertToSingle(Vector256.Create(q0, q1)), Vector256.ConvertToSingle(Vector256.Create(q2, q3)));
    }

    /// <summary>y = d·q of 16 signed integers.</summary>
    private static void Scale(Vector128<byte> q, float d, Span<float> y)
    {
        (Vector256<float> low, Vector256<float> high) = Floats(q);
        (low * Vector256.Create(d)).CopyTo(y);
        (high * Vector256.Create(d)).CopyTo(y[8..]);
    }

    /// <summary>y = d·q + m of 16 integers: two roundings, as the reference does.</summary>
    private static void Affine(Vector128<byte> q, float d, float m, Span<float> y)
    {
        (Vector256<float> low, Vector256<float> high) = Floats(q);
        (low * Vector256.Create(d) + Vector256.Create(m)).CopyTo(y);
        (high * Vector256.Create(d) + Vector256.Create(m)).CopyTo(y[8..]);
    }

    private static Vector128<byte> Bytes(ReadOnlySpan<byte> block, int at) => Vector128.Create(block.Slice(at, 16));

    /// <summary>A value where a byte has the mask's bit, 0 where it has not.</summary>
    private static Vector128<byte> Bit(Vector128<byte> bytes, Vector128<byte> mask, byte value) =>
        Vector128.Equals(bytes & mask, mask) & Vector128.Create(value);

    /// <summary>The fifth bits of 16 integers, which lie in two bytes.</summary>
    private static Vector128<byte> FifthBits(ReadOnlySpan<byte> bits) => Bit(
        Vector128.Create(bits[0] * 0x0101010101010101UL, bits[1] * 0x0101010101010101UL).AsByte(), Vector128.Create(0x8040201008040201UL).AsByte(), 16);

    private static void Q4Zero(ReadOnlySpan<byte> block, Span<float> y)
    {
        float d = Half(block, 0);
        Vector128<byte> packed = Bytes(block, 2), eight = Vector128.Create((byte)8);
        Scale((packed & Vector128.Create((byte)15)) - eight, d, y);
        Scale((packed >>> 4) - eight, d, y[16..]);
    }

    private static void Q4One(ReadOnlySpan<byte> block, Span<float> y)
    {
        float d = Half(block, 0), m = Half(block, 2);
        Vector128<byte> packed = Bytes(block, 4);
        Affine(packed & Vector128.Create((byte)15), d, m, y);
        Affine(packed >>> 4, d, m, y[16..]);
    }

    private static void Q5Zero(ReadOnlySpan<byte> block, Span<float> y)
    {
        float d = Half(block, 0);
        Vector128<byte> packed = Bytes(block, 6), sixteen = Vector128.Create((byte)16);
        Scale((packed & Vector128.Create((byte)15) | FifthBits(block[2..])) - sixteen, d, y);
        Scale((packed >>> 4 | FifthBits(block[4..])) - sixteen, d, y[16..]);
    }

    private static void Q5One(ReadOnlySpan<byte> block, Span<float> y)
    {
        float d = Half(block, 0), m = Half(block, 2);
        Vector128<byte> packed = Bytes(block, 8);
        Affine(packed & Vector128.Create((byte)15) | FifthBits(block[4..]), d, m, y);
        Affine(packed >>> 4 | FifthBits(block[6..]), d, m, y[16..]);
    }

    private static void Q8Zero(ReadOnlySpan<byte> block, Span<float> y)
    {
        float d = Half(block, 0);
        Scale(Bytes(block, 2), d, y);
        Scale(Bytes(block, 18), d, y[16..]);
    }

    private static void Q2K(ReadOnlySpan<byte> block, Span<float> y)
    {
        ReadOnlySpan<byte> scales = block[..16];
        float d = Half(block, 80), min = Half(block, 82);
        for (int part = 0; part < 16; part++)
        {
            // Parts of 16: two next to each other for each of the four 2-bit shifts of 32 bytes.
            Vector128<byte> q = Bytes(block, 16 + 32 * (part / 8) + 16 * (part % 2)) >>> (part / 2 % 4 * 2);
            Affine(q & Vector128.Create((byte)3), d * (scales[part] & 15), -(min * (scales[part] >> 4)), y[(16 * part)..]);
        }
    }

    private static void Q3K(ReadOnlySpan<byte> block, Span<float> y)
    {
        float d = Half(block, 108);
        for (int part = 0; part < 16; part++)
        {
            int first = 16 * (part % 2);
            Vector128<byte> q = Bytes(block, 32 + 32 * (part / 8) + first) >>> (part / 2 % 4 * 2);
            Vector128<byte> high = Bit(Bytes(block, first), Vector128.Create((byte)(1 << (part / 2))), 4);
            Scale((q & Vector128.Create((byte)3) | high) - Vector128.Create((byte)4), d * (ScaleOf3K(block.Slice(96, 12), part) - 32), y[(16 * part)..]);
        }
    }

    /// <summary>Six bits: the low four in the first eight bytes, the high two in the last four.</summary>
    private static int ScaleOf3K(ReadOnlySpan<byte> scales, int part)
    {
        int low = part < 8 ? scales[part] & 15 : scales[part - 8] >> 4;
        return low | ((scales[8 + part % 4] >> (2 * (part / 4))) & 3) << 4;
    }

    private static void Q4K(ReadOnlySpan<byte> block, Span<float> y)
    {
        float d = Half(block, 0), min = Half(block, 2);
        for (int part = 0; part < 8; part++)
        {
            (int scale, int offset) = ScaleOf4K(block.Slice(4, 12), part);
            for (int i = 0; i < 32; i += 16)
            {
                Vector128<byte> q = Bytes(block, 16 + 32 * (part / 2) + i) >>> (4 * (part % 2));
                Affine(q & Vector128.Create((byte)15), d * scale, -(min * offset), y[(32 * part + i)..]);
            }
        }
    }

    private static void Q5K(ReadOnlySpan<byte> block, Span<float> y)
    {
        float d = Half(block, 0), min = Half(block, 2);
        for (int part = 0; part < 8; part++)
        {
            (int scale, int offset) = ScaleOf4K(block.Slice(4, 12), part);
            for (int i = 0; i < 32; i += 16)
            {
                Vector128<byte> q = Bytes(block, 48 + 32 * (part / 2) + i) >>> (4 * (part % 2));
                Vector128<byte> high = Bit(Bytes(block, 16 + i), Vector128.Create((byte)(1 << part)), 16);
                Affine(q & Vector128.Create((byte)15) | high, d * scale, -(min * offset), y[(32 * part + i)..]);
            }
        }
    }

    /// <summary>Six bits each: of parts 0–3 in a byte of their own, of parts 4–7 four bits there and two above the former.</summary>
    private static (int Scale, int Offset) ScaleOf4K(ReadOnlySpan<byte> s, int part) => part < 4
        ? (s[part] & 63, s[part + 4] & 63)
        : ((s[part + 4] & 15) | (s[part - 4] >> 6) << 4, (s[part + 4] >> 4) | (s[part] >> 6) << 4);

    private static void Q6K(ReadOnlySpan<byte> block, Span<float> y)
    {
        float d = Half(block, 208);
        ReadOnlySpan<sbyte> scales = MemoryMarshal.Cast<byte, sbyte>(block.Slice(192, 16));
        for (int part = 0; part < 16; part++)
        {
            // Parts of 16: two for each of the four quarters of 128, which share low bytes two by two and all their high bytes.
            int half = part / 8, quarter = part / 2 % 4, i = 16 * (part % 2);
            Vector128<byte> low = Bytes(block, 64 * half + 32 * (quarter % 2) + i) >>> (4 * (quarter / 2));
            Vector128<byte> high = Bytes(block, 128 + 32 * half + i) >>> (2 * quarter);
            Vector128<byte> q = low & Vector128.Create((byte)15) | (high & Vector128.Create((byte)3)) << 4;
            Scale(q - Vector128.Create((byte)32), d * scales[part], y[(16 * part)..]);
        }
    }
}
