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
        "F32" or "F16" or "BF16" => static (_, _) => { },   // by whole spans, above
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

    private static void Q4Zero(ReadOnlySpan<byte> block, Span<float> y)
    {
        float d = Half(block, 0);
        for (int i = 0; i < 16; i++)
        {
            y[i] = ((block[2 + i] & 15) - 8) * d;
            y[16 + i] = ((block[2 + i] >> 4) - 8) * d;
        }
    }

    private static void Q4One(ReadOnlySpan<byte> block, Span<float> y)
    {
        float d = Half(block, 0), m = Half(block, 2);
        Vector128<byte> packed = Vector128.Create(block[4..]);
        Affine(packed & Vector128.Create((byte)15), d, m, y);
        Affine(packed >>> 4, d, m, y[16..]);
    }

    /// <summary>y = q·d + m: two roundings, as the reference does.</summary>
    private static void Affine(Vector128<byte> q, float d, float m, Span<float> y)
    {
        (Vector128<ushort> low, Vector128<ushort> high) = Vector128.Widen(q);
        (Vector128<uint> q0, Vector128<uint> q1) = Vector128.Widen(low);
        (Vector128<uint> q2, Vector128<uint> q3) = Vector128.Widen(high);
        Vector128<float> scale = Vector128.Create(d), offset = Vector128.Create(m);
        (Vector128.ConvertToSingle(q0.AsInt32()) * scale + offset).CopyTo(y);
        (Vector128.ConvertToSingle(q1.AsInt32()) * scale + offset).CopyTo(y[4..]);
        (Vector128.ConvertToSingle(q2.AsInt32()) * scale + offset).CopyTo(y[8..]);
        (Vector128.ConvertToSingle(q3.AsInt32()) * scale + offset).CopyTo(y[12..]);
    }

    private static void Q5Zero(ReadOnlySpan<byte> block, Span<float> y)
    {
        float d = Half(block, 0);
        uint high = BinaryPrimitives.ReadUInt32LittleEndian(block[2..]);
        for (int i = 0; i < 16; i++)
        {
            y[i] = ((int)((block[6 + i] & 15u) | ((high >> i) & 1) << 4) - 16) * d;
            y[16 + i] = ((int)((uint)(block[6 + i] >> 4) | ((high >> (i + 16)) & 1) << 4) - 16) * d;
        }
    }

    private static void Q5One(ReadOnlySpan<byte> block, Span<float> y)
    {
        float d = Half(block, 0), m = Half(block, 2);
        uint high = BinaryPrimitives.ReadUInt32LittleEndian(block[4..]);
        for (int i = 0; i < 16; i++)
        {
            y[i] = (int)((block[8 + i] & 15u) | ((high >> i) & 1) << 4) * d + m;
            y[16 + i] = (int)((uint)(block[8 + i] >> 4) | ((high >> (i + 16)) & 1) << 4) * d + m;
        }
    }

    private static void Q8Zero(ReadOnlySpan<byte> block, Span<float> y)
    {
        Vector256<float> d = Vector256.Create(Half(block, 0));
        ReadOnlySpan<sbyte> q = MemoryMarshal.Cast<byte, sbyte>(block[2..]);
        for (int i = 0; i < 32; i += 16)
        {
            (Vector128<short> low, Vector128<short> high) = Vector128.Widen(Vector128.Create(q[i..]));
            (Vector128<int> q0, Vector128<int> q1) = Vector128.Widen(low);
            (Vector128<int> q2, Vector128<int> q3) = Vector128.Widen(high);
            (Vector256.ConvertToSingle(Vector256.Create(q0, q1)) * d).CopyTo(y[i..]);
            (Vector256.ConvertToSingle(Vector256.Create(q2, q3)) * d).CopyTo(y[(i + 8)..]);
        }
    }

    private static void Q2K(ReadOnlySpan<byte> block, Span<float> y)
    {
        ReadOnlySpan<byte> scales = block[..16];
        float d = Half(block, 80), min = Half(block, 82);
        for (int part = 0, at = 0; part < 16; part++)
        {
            // Parts of 16: two next to each other for each of the four 2-bit shifts of 32 bytes.
            ReadOnlySpan<byte> q = block.Slice(16 + 32 * (part / 8) + 16 * (part % 2), 16);
            int shift = part / 2 % 4 * 2;
            float scale = d * (scales[part] & 15), offset = min * (scales[part] >> 4);
            for (int i = 0; i < 16; i++) y[at++] = scale * ((q[i] >> shift) & 3) - offset;
        }
    }

    private static void Q3K(ReadOnlySpan<byte> block, Span<float> y)
    {
        ReadOnlySpan<byte> high = block[..32];
        float d = Half(block, 108);
        for (int part = 0, at = 0; part < 16; part++)
        {
            int first = 16 * (part % 2), shift = part / 2 % 4 * 2, bit = 1 << (part / 2);
            ReadOnlySpan<byte> q = block.Slice(32 + 32 * (part / 8) + first, 16);
            float scale = d * (ScaleOf3K(block.Slice(96, 12), part) - 32);
            for (int i = 0; i < 16; i++) y[at++] = scale * (((q[i] >> shift) & 3) - ((high[first + i] & bit) != 0 ? 0 : 4));
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
            ReadOnlySpan<byte> q = block.Slice(16 + 32 * (part / 2), 32);
            float dPart = d * scale, mPart = min * offset;
            int shift = 4 * (part % 2);
            for (int i = 0; i < 32; i++) y[32 * part + i] = dPart * ((q[i] >> shift) & 15) - mPart;
        }
    }

    private static void Q5K(ReadOnlySpan<byte> block, Span<float> y)
    {
        float d = Half(block, 0), min = Half(block, 2);
        ReadOnlySpan<byte> high = block.Slice(16, 32);
        for (int part = 0; part < 8; part++)
        {
            (int scale, int offset) = ScaleOf4K(block.Slice(4, 12), part);
            ReadOnlySpan<byte> q = block.Slice(48 + 32 * (part / 2), 32);
            float dPart = d * scale, mPart = min * offset;
            int shift = 4 * (part % 2);
            for (int i = 0; i < 32; i++) y[32 * part + i] = dPart * (((q[i] >> shift) & 15) + ((high[i] >> part) & 1) * 16) - mPart;
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
        for (int half = 0; half < 2; half++)
        {
            ReadOnlySpan<byte> low = block.Slice(64 * half, 64), high = block.Slice(128 + 32 * half, 32);
            for (int quarter = 0; quarter < 4; quarter++)
            {
                int lowShift = 4 * (quarter / 2), highShift = 2 * quarter, first = 32 * (quarter % 2);
                for (int i = 0; i < 32; i++)
                {
                    int q = ((low[first + i] >> lowShift) & 15) | ((high[i] >> highShift) & 3) << 4;
                    y[128 * half + 32 * quarter + i] = d * scales[8 * half + 2 * quarter + i / 16] * (q - 32);
                }
            }
        }
    }
}
