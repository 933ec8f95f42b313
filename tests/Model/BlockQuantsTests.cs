using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>
/// Every quantised type against twins that follow the structs and loops of the format's definition one value at a time. In
/// BlockQuants the same values come from parts of equal scale, so an error in either layout shows.
/// </summary>
public class BlockQuantsTests
{
    private const int Blocks = 400;

    public static TheoryData<uint, string> Types() => new()
    {
        { 2, "Q4_0" }, { 3, "Q4_1" }, { 6, "Q5_0" }, { 7, "Q5_1" }, { 8, "Q8_0" },
        { 10, "Q2_K" }, { 11, "Q3_K" }, { 12, "Q4_K" }, { 13, "Q5_K" }, { 14, "Q6_K" },
    };

    [Theory, MemberData(nameof(Types))]
    public void Values_have_the_bits_of_the_definition(uint number, string name)
    {
        GgufType type = GgufType.Find(number)!;
        Assert.Equal(name, type.Name);
        byte[] blocks = new byte[Blocks * type.BlockBytes];
        new Random(7).NextBytes(blocks);   // scales among them that are negative, subnormal, infinite and no numbers
        Compare(type, blocks, atLeastFinite: 0.5);
        for (int block = 0; block < Blocks; block++)   // and of the size that weights have
            foreach (int at in Scales(name)) BitConverter.TryWriteBytes(blocks.AsSpan(block * type.BlockBytes + at), (Half)((block % 37 - 18) * 0.0137 + at * 0.001));
        Compare(type, blocks, atLeastFinite: 1);
    }

    [Fact]
    public void Floats_are_taken_as_they_are()
    {
        float[] values = [1, -2.5f, 0, float.Epsilon], read = new float[4];
        foreach ((uint number, byte[] bytes) in ((uint, byte[])[])
        [
            (0, [.. values.SelectMany(BitConverter.GetBytes)]),
            (1, [.. values.SelectMany(value => BitConverter.GetBytes((Half)value))]),
            (30, [.. values.SelectMany(value => BitConverter.GetBytes((ushort)(BitConverter.SingleToUInt32Bits(value) >> 16)))]),
        ])
        {
            BlockQuants.Dequantise(GgufType.Find(number)!, bytes, read);
            Assert.Equal(number == 0 ? values : [1, -2.5f, 0, 0], read);
        }
    }

    private static void Compare(GgufType type, byte[] blocks, double atLeastFinite)
    {
        float[] values = new float[Blocks * type.BlockSize];
        BlockQuants.Dequantise(type, blocks, values);
        for (int block = 0; block < Blocks; block++)
        {
            float[] expected = Twin(type.Name, blocks[(block * type.BlockBytes)..((block + 1) * type.BlockBytes)]);
            Assert.Equal(type.BlockSize, expected.Length);
            for (int i = 0; i < expected.Length; i++)
            {
                float value = values[block * type.BlockSize + i];
                Assert.True(
                    float.IsNaN(expected[i]) ? float.IsNaN(value) : BitConverter.SingleToUInt32Bits(expected[i]) == BitConverter.SingleToUInt32Bits(value),
                    $"{type.Name}: block {block}, value {i}: {expected[i]:R} expected, {value:R} read");
            }
        }
        Assert.True(values.Count(float.IsFinite) >= atLeastFinite * values.Length);
    }

    /// <summary>Where a block keeps its F16 numbers.</summary>
    private static int[] Scales(string name) => name switch
    {
        "Q4_0" or "Q5_0" or "Q8_0" => [0],
        "Q4_1" or "Q5_1" or "Q4_K" or "Q5_K" => [0, 2],
        "Q2_K" => [80, 82],
        "Q3_K" => [108],
        _ => [208],
    };

    private static float Half(byte[] block, int at) => (float)BitConverter.ToHalf(block, at);

    private static float[] Twin(string name, byte[] x) => name switch
    {
        "Q4_0" => Small(x, 2, null, (q, d, _) => (q - 8) * d),
        "Q4_1" => Small(x, 4, null, (q, d, m) => q * d + m),
        "Q5_0" => Small(x, 6, 2, (q, d, _) => (q - 16) * d),
        "Q5_1" => Small(x, 8, 4, (q, d, m) => q * d + m),
        "Q8_0" => [.. Enumerable.Range(0, 32).Select(j => (sbyte)x[2 + j] * Half(x, 0))],
        "Q2_K" => TwoBits(x),
        "Q3_K" => ThreeBits(x),
        "Q4_K" => FourOrFiveBits(x, 16, null),
        "Q5_K" => FourOrFiveBits(x, 48, 16),
        _ => SixBits(x),
    };

    /// <summary>Blocks of 32: low nibbles are the first half; a fifth bit of all lies in 32 bits before them.</summary>
    private static float[] Small(byte[] x, int quants, int? high, Func<int, float, float, float> value)
    {
        float[] y = new float[32];
        uint bits = high is { } at ? BitConverter.ToUInt32(x, at) : 0;
        for (int i = 0; i < 32; i++)
        {
            int nibble = i < 16 ? x[quants + i] % 16 : x[quants + i - 16] / 16;
            y[i] = value(nibble + 16 * (int)(bits >> i & 1), Half(x, 0), Half(x, 2));
        }
        return y;
    }

    /// <summary>scales[16], qs[64], d, dmin.</summary>
    private static float[] TwoBits(byte[] x)
    {
        List<float> y = [];
        float d = Half(x, 80), min = Half(x, 82);
        int scale = 0;
        for (int q = 16; q < 80; q += 32)
        {
            for (int shift = 0; shift < 8; shift += 2)
            {
                for (int first = 0; first < 32; first += 16)
                {
                    byte both = x[scale++];
                    float dl = d * (both & 0xF), ml = min * (both >> 4);
                    for (int l = first; l < first + 16; l++) y.Add(dl * (x[q + l] >> shift & 3) - ml);
                }
            }
        }
        return [.. y];
    }

    /// <summary>hmask[32], qs[64], scales[12], d.</summary>
    private static float[] ThreeBits(byte[] x)
    {
        const uint LowFour = 0x0F0F0F0F, LowTwo = 0x03030303;
        uint a0 = BitConverter.ToUInt32(x, 96), a1 = BitConverter.ToUInt32(x, 100), high = BitConverter.ToUInt32(x, 104);
        uint[] packed =
        [
            (a0 & LowFour) | (high & LowTwo) << 4, (a1 & LowFour) | (high >> 2 & LowTwo) << 4,
            (a0 >> 4 & LowFour) | (high >> 4 & LowTwo) << 4, (a1 >> 4 & LowFour) | (high >> 6 & LowTwo) << 4,
        ];
        sbyte[] scales = [.. packed.SelectMany(BitConverter.GetBytes).Select(value => (sbyte)value)];
        List<float> y = [];
        int scale = 0, mask = 1;
        for (int q = 32; q < 96; q += 32)
        {
            for (int shift = 0; shift < 8; shift += 2, mask <<= 1)
            {
                for (int first = 0; first < 32; first += 16)
                {
                    float dl = Half(x, 108) * (scales[scale++] - 32);
                    for (int l = first; l < first + 16; l++) y.Add(dl * ((x[q + l] >> shift & 3) - ((x[l] & mask) != 0 ? 0 : 4)));
                }
            }
        }
        return [.. y];
    }

    /// <summary>d, dmin, scales[12], of five bits qh[32], qs[128].</summary>
    private static float[] FourOrFiveBits(byte[] x, int quants, int? high)
    {
        List<float> y = [];
        float d = Half(x, 0), min = Half(x, 2);
        for (int part = 0; part < 8; part++)
        {
            int s, m;
            if (part < 4)
            {
                s = x[4 + part] & 63;
                m = x[8 + part] & 63;
            }
            else
            {
                s = (x[8 + part] & 0xF) | (x[part] >> 6) << 4;
                m = (x[8 + part] >> 4) | (x[4 + part] >> 6) << 4;
            }
            float d1 = d * s, m1 = min * m;
            for (int l = 0; l < 32; l++)
            {
                byte both = x[quants + part / 2 * 32 + l];
                int q = part % 2 == 0 ? both & 0xF : both >> 4;
                if (high is { } at && (x[at + l] & 1 << part) != 0) q += 16;
                y.Add(d1 * q - m1);
            }
        }
        return [.. y];
    }

    /// <summary>ql[128], qh[64], scales[16], d.</summary>
    private static float[] SixBits(byte[] x)
    {
        float[] y = new float[256];
        float d = Half(x, 208);
        for (int n = 0; n < 2; n++)
        {
            for (int l = 0; l < 32; l++)
            {
                int ql = 64 * n + l, qh = x[128 + 32 * n + l], sc = 192 + 8 * n + l / 16, at = 128 * n + l;
                int q1 = ((x[ql] & 0xF) | (qh >> 0 & 3) << 4) - 32, q2 = ((x[ql + 32] & 0xF) | (qh >> 2 & 3) << 4) - 32;
                int q3 = ((x[ql] >> 4) | (qh >> 4 & 3) << 4) - 32, q4 = ((x[ql + 32] >> 4) | (qh >> 6 & 3) << 4) - 32;
                y[at] = d * (sbyte)x[sc] * q1;
                y[at + 32] = d * (sbyte)x[sc + 2] * q2;
                y[at + 64] = d * (sbyte)x[sc + 4] * q3;
                y[at + 96] = d * (sbyte)x[sc + 6] * q4;
            }
        }
        return y;
    }
}
