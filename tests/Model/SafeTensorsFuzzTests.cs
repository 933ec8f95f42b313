using System.Buffers.Binary;
using System.Globalization;
using System.Text;

using CsCheck;

using QSharp.Engine;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Damaged files and indexes: whatever the bytes, the answer is a set of tensors inside the file or a <see cref="UserException"/>.</summary>
public class SafeTensorsFuzzTests(ITestOutputHelper output)
{
    private const int Cases = 120_000;

    /// <summary>Pieces that mean something to a parser; random bytes alone rarely get past the first brace.</summary>
    private static readonly byte[][] _pieces =
    [
        .. new[]
        {
            "{", "}", "[", "]", ",", ":", "\"", "\\", " ", "\n", "-", "0", "1", "9", "1e3", ".5", "null", "true", "\"a\":", "{}", "[]", "[0,0]", "[0,4]", "[4,0]",
            "\"dtype\":\"F32\",", "\"shape\":[2],", "\"data_offsets\":[0,8],", "\"F4\"", "\"U64\"", "\"BOOL\"", "__metadata__", "\\ud800", "\\u0000", "weight_map",
            "9223372036854775807", "18446744073709551615", "4294967296", "[[[[[[[[[[[[[[[[", "{\"a\":{\"a\":{\"a\":", "../", "é", "\u0001",
            "\"w\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},",
        }.Select(Encoding.UTF8.GetBytes),
        [0xFF], [0xC3], [0x80], [0],
    ];

    private static readonly Gen<(int Kind, int Place, int Value)[]> _changes = Gen.Select(Gen.Int[0, 6], Gen.Int[0, int.MaxValue - 1], Gen.Int[0, 1 << 16]).Array[1, 5];

    [Fact]
    public void A_damaged_file_is_read_or_refused()
    {
        byte[][] good =
        [
            .. Directory.GetFiles(Path.Combine(Repository.Root, "tests", "golden", "safetensors"), "ok_*.safetensors").Order(StringComparer.Ordinal).Select(File.ReadAllBytes),
            SafeTensorsTests.Bytes(SafeTensorsTests.Samples(), new Dictionary<string, string> { ["format"] = "pt", ["note"] = "\"é\"" }),
        ];
        Run(good, header: true, (file, _) =>
        {
            SafeTensorsHeader header = SafeTensorsHeader.Parse("memory", file, file.Length);
            long covered = header.Entries.Count == 0 ? file.Length : header.Entries[0].Offset;
            foreach (SafeTensorsEntry entry in header.Entries)
            {
                Assert.Equal(covered, entry.Offset);
                covered += entry.ByteCount;
                ReadOnlySpan<byte> bytes = file.AsSpan((int)entry.Offset, (int)entry.ByteCount);
                if (SafeTensorsFloats.IsFloat(entry.DType)) SafeTensorsFloats.Widen(entry.DType, bytes, new float[entry.Count]);
            }
            Assert.Equal(file.Length, covered);
        });
    }

    [Fact]
    public void A_damaged_index_is_read_or_refused()
    {
        byte[] good = Encoding.UTF8.GetBytes("""{"metadata":{"total_size":12,"x":[1,{"y":null}]},"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}""");
        Run([good], header: false, (index, _) =>
        {
            foreach (string name in SafeTensorsFolder.ParseIndex("memory", index).Values) Assert.Equal(name, Path.GetFileName(name));
        });
    }

    private void Run(byte[][] good, bool header, Action<byte[], int> read)
    {
        int taken = 0, refused = 0;
        string seed = Environment.GetEnvironmentVariable("CsCheck_Seed") ?? Gen.Seed.Single();
        output.WriteLine($"seed {seed}");
        Gen.Select(Gen.Int[0, good.Length - 1], _changes, Gen.Int[0, 3]).Sample((which, changes, mode) =>
        {
            // Three times in four the header's length is put right after the damage, or few cases would reach the JSON.
            byte[] damaged = Damage(good[which], changes, header, fitLength: header && mode > 0);
            try
            {
                read(damaged, which);
                Interlocked.Increment(ref taken);
            }
            catch (UserException refusal)
            {
                Assert.True(refusal.Message.StartsWith("memory", StringComparison.Ordinal) && !refusal.Message.Any(char.IsControl), refusal.Message);
                Interlocked.Increment(ref refused);
            }
        }, seed: seed, iter: Cases);
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{taken} read, {refused} refused"));
        Assert.True(taken + refused >= Cases && taken > Cases / 1000 && refused > Cases / 4, $"{taken} read, {refused} refused");
    }

    private static byte[] Damage(byte[] good, (int Kind, int Place, int Value)[] changes, bool header, bool fitLength)
    {
        List<byte> bytes = [.. good];
        int end = header ? 8 + BinaryPrimitives.ReadInt32LittleEndian(good) : good.Length;   // where the JSON ends, followed through the changes
        int low = fitLength ? 8 : 0;
        foreach ((int kind, int place, int value) in changes)
        {
            int limit = fitLength ? end : bytes.Count;
            if (limit <= low) break;
            int at = low + place % (limit - low);
            int count = Math.Min(1 + value % 24, limit - at);
            byte[] piece = _pieces[value % _pieces.Length];
            switch (kind)
            {
                case 0:
                    bytes[at] = (byte)value;
                    break;
                case 1:
                    bytes[at] ^= (byte)(1 << (value & 7));
                    break;
                case 2:
                    bytes.InsertRange(at, piece);
                    end += piece.Length;
                    break;
                case 3:
                    bytes.RemoveRange(at, count);
                    end -= count;
                    break;
                case 4:   // a part again elsewhere
                    bytes.InsertRange(at, bytes.GetRange(at, count));
                    end += count;
                    break;
                case 5:
                    if (value % 8 == 0) bytes.RemoveRange(at, bytes.Count - at);
                    end = Math.Min(end, bytes.Count);
                    break;
                default:   // another digit, so that numbers change and the JSON stays
                    int digit = bytes.FindIndex(at, b => b is >= (byte)'0' and <= (byte)'9');
                    if (digit >= 0) bytes[digit] = (byte)('0' + value % 10);
                    break;
            }
        }
        byte[] damaged = [.. bytes];
        if (fitLength && damaged.Length >= 8) BinaryPrimitives.WriteInt64LittleEndian(damaged, end - 8);
        return damaged;
    }
}
