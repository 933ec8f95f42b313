using System.Buffers.Binary;
using System.Diagnostics;
using System.Text;
using System.Text.Json;

using QSharp.Engine;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Files good and bad, byte for byte against the reference library and round trips.</summary>
public sealed class SafeTensorsTests : IDisposable
{
    private static readonly string _golden = Path.Combine(Repository.Root, "tests", "golden", "safetensors");
    private readonly string _folder = Directory.CreateTempSubdirectory("qsharp-safetensors-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    public static TheoryData<string, bool, string> GoldenCases() => CasesIn(_golden);

    public static TheoryData<string, bool, string> SharedCases() =>
        Shared("data", "safetensors") is { } folder ? CasesIn(folder) : new() { { "", true, "no shared folder" } };

    [Theory, MemberData(nameof(GoldenCases))]
    public void Takes_good_files_and_refuses_bad_ones(string file, bool valid, string what) => Judge(Path.Combine(_golden, file), valid, what);

    [Theory, MemberData(nameof(SharedCases))]
    public void Takes_and_refuses_the_shared_files_too(string file, bool valid, string what)
    {
        if (Shared("data", "safetensors") is not { } folder) Assert.Skip("There is no shared folder beside the repository.");
        else Judge(Path.Combine(folder, file), valid, what);
    }

    [Theory]
    [InlineData("bad_empty_file", "is empty")]
    [InlineData("bad_header_len_past_eof", "header of 1000000 bytes")]
    [InlineData("bad_header_len_huge", "header of 9223372036854775813 bytes")]
    [InlineData("bad_not_json", "not valid JSON")]
    [InlineData("bad_duplicate_name", "\"w\" is there twice")]
    [InlineData("bad_dtype_unknown", "\"F33\"")]
    [InlineData("bad_shape_negative", "shape whose item 0")]
    [InlineData("bad_shape_overflow", "within 64 bits")]
    [InlineData("bad_size_mismatch", "needs 12 bytes, but data_offsets [0, 8] give it 8")]
    [InlineData("bad_offsets_reversed", "before it begins")]
    [InlineData("bad_offsets_past_eof", "bytes 0 to 4 of the data")]
    [InlineData("bad_truncated_data", "cut short")]
    [InlineData("bad_overlap", "share bytes 4 to 8")]
    [InlineData("bad_deep_json", "nested deeper than 64 levels")]
    [InlineData("bad_lfs_pointer", "git lfs pull")]
    [InlineData("bad_gguf", "GGUF")]
    public void Says_what_is_wrong(string file, string words) =>
        Assert.Contains(words, Assert.Throws<UserException>(() => SafeTensorsFile.Open(Path.Combine(_golden, file + ".safetensors"))).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("<!DOCTYPE html><html><head>", "web page")]
    [InlineData("\n  <html>", "web page")]
    [InlineData("{\"error\":\"Repository not found\"}", "JSON text")]
    [InlineData("PK\u0003\u0004\0\0\b\b\0\0", "zip archive")]
    [InlineData("\u0080\u0002}q\0(X\f\0\0\0", "pickle")]
    [InlineData("\u0080\u0004\u0095\u0010\0\0\0\0\0\0", "pickle")]
    [InlineData("\u001F\u008B\b\0\0\0\0\0\0\u0003", "gzip")]
    [InlineData("\u0089HDF\r\n\u001A\n", "HDF5")]
    [InlineData("abc", "only 3 bytes")]
    [InlineData("\b\0\0\0\0\0\0\0[1,2,3] ", "does not begin with '{'")]
    [InlineData("\0\0\0\0\0\0\0\0", "does not begin with '{'")]
    [InlineData("\u0080\u0002\0\0\0\0\0\0{\"a\":", "cut short")]
    public void Recognises_what_people_feed_by_mistake(string latin1, string words) => AssertRefused(Encoding.Latin1.GetBytes(latin1), words);

    [Theory]
    [InlineData("""{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2],"dtype":"U8"}}""", "dtype twice")]
    [InlineData("""{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2,2]}}""", "3 data_offsets")]
    [InlineData("""{"a":{"dtype":"U8","shape":[2.0],"data_offsets":[0,2]}}""", "item 0 is not a whole number")]
    [InlineData("""{"a":{"dtype":"U8","shape":[99999999999999999999],"data_offsets":[0,2]}}""", "item 0 is not a whole number")]
    [InlineData("""{"a":{"dtype":"U8","shape":["2"],"data_offsets":[0,2]}}""", "item 0 is not a whole number")]
    [InlineData("""{"a":{"dtype":"U8","data_offsets":[0,2]}}""", "no shape")]
    [InlineData("""{"a":{"shape":[2],"data_offsets":[0,2]}}""", "no dtype")]
    [InlineData("""{"a":{"dtype":"U8","shape":[2]}}""", "no data_offsets")]
    [InlineData("""{"a":[2]}""", "not described by a JSON object")]
    [InlineData("""{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}}""", "whole number of bytes")]
    [InlineData("""{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}""", "1 bytes after its last tensor")]
    [InlineData("""{"a":{"dtype":"U8","shape":[4294967296,4294967296,0],"data_offsets":[0,0]}}""", "within 64 bits")]
    [InlineData("""{"__metadata__":{"a":1}}""", "not a text")]
    [InlineData("""{"__metadata__":{"a":"1","a":"2"}}""", "twice")]
    [InlineData("""{"__metadata__":{},"__metadata__":{}}""", "twice")]
    [InlineData("""{"__metadata__":["a"]}""", "not an object of texts")]
    [InlineData("""{"\ud800":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}""", "surrogate")]
    [InlineData("""{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}} {}""", "not valid JSON")]
    [InlineData("""{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},}""", "not valid JSON")]
    public void Refuses_headers_that_break_a_rule(string json, string words) => AssertRefused(File(json, [1, 2]), words);

    [Fact]
    public void Refuses_a_header_that_is_not_UTF8()
    {
        byte[] file = File("""{"?":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}""", [1, 2]);
        file[Array.IndexOf(file, (byte)'?')] = 0xFF;
        AssertRefused(file, "UTF-8");
    }

    [Theory]
    [InlineData("""{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2],"note":[{"x":[1]}]}}""", 1)]
    [InlineData("""{"z":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"F4","shape":[4],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[7,0],"data_offsets":[2,2]}}""", 3)]
    [InlineData("""{"__metadata__":null,"a":{"dtype":"F8_E8M0","shape":[2],"data_offsets":[0,2]}}""", 1)]
    public void Takes_what_the_reference_takes(string json, int count) => Assert.Equal(count, Parse(File(json, [1, 2])).Entries.Count);

    [Fact]
    public void Reads_values()
    {
        using SafeTensorsFile file = SafeTensorsFile.Open(Path.Combine(_golden, "ok_bf16_f16.safetensors"));
        SafeTensorsEntry bf16 = file.Entries.Single(entry => entry.DType == "BF16"), f16 = file.Entries.Single(entry => entry.DType == "F16");
        float[] values = new float[3], one = new float[1];
        file.CopyTo(bf16, values);
        file.CopyTo(f16, one);
        Assert.Equal([1f, -2f, 0f], values);
        Assert.Equal([1f], one);
        file.CopyTo(bf16, 1, values.AsSpan(0, 2));
        Assert.Equal([-2f, 0f], values[..2]);
        Assert.Throws<ArgumentException>(() => file.CopyTo(bf16, 2, values.AsSpan(0, 2)));
        Assert.Throws<ArgumentException>(() => file.Bytes(bf16 with { Offset = 0 }).Length);
        Assert.Throws<UserException>(() => file.Find("absent"));
    }

    [Fact]
    public void Refuses_to_take_integers_for_weights_and_use_after_closing()
    {
        SafeTensorsFile file = SafeTensorsFile.Open(Path.Combine(_golden, "ok_i64_bool.safetensors"));
        SafeTensorsEntry entry = file.Entries.First(entry => entry.DType == "I64");
        Assert.Contains("I64", Assert.Throws<UserException>(() => file.CopyTo(entry, new float[entry.Count])).Message, StringComparison.Ordinal);
        file.Dispose();
        Assert.Throws<ObjectDisposedException>(() => file.Bytes(entry).Length);
    }

    [Fact]
    public void Widens_every_half_and_every_bfloat16_exactly()
    {
        byte[] all = new byte[2 * 65536];
        for (int i = 0; i < 65536; i++) BinaryPrimitives.WriteUInt16LittleEndian(all.AsSpan(2 * i), (ushort)i);
        float[] half = new float[65536], bfloat = new float[65536], odd = new float[21];
        SafeTensorsFloats.Widen("F16", all, half);
        SafeTensorsFloats.Widen("BF16", all, bfloat);
        for (int i = 0; i < 65536; i++)
        {
            float expected = (float)BitConverter.UInt16BitsToHalf((ushort)i);
            Assert.True(float.IsNaN(expected) ? float.IsNaN(half[i]) : BitConverter.SingleToUInt32Bits(expected) == BitConverter.SingleToUInt32Bits(half[i]), $"half {i:x4}");
            Assert.Equal((uint)i << 16, BitConverter.SingleToUInt32Bits(bfloat[i]));
            if (!float.IsNaN(bfloat[i])) Assert.Equal(i, BFloat16.Round(bfloat[i]));
        }
        SafeTensorsFloats.Widen("BF16", all.AsSpan(2 * 0x3F80, 42), odd);   // a tail that fills no register
        Assert.Equal(1f, odd[0]);
        Assert.Equal(BitConverter.UInt32BitsToSingle(0x3F940000), odd[20]);
        Assert.Equal(0x3F80, BFloat16.Round(BitConverter.UInt32BitsToSingle(0x3F808000)));   // a tie goes to the even one
        Assert.Equal(0x3F82, BFloat16.Round(BitConverter.UInt32BitsToSingle(0x3F818000)));
        Assert.True(float.IsNaN(BitConverter.UInt32BitsToSingle((uint)BFloat16.Round(BitConverter.UInt32BitsToSingle(0x7F800001)) << 16)));
    }

    [Fact]
    public void Writes_the_bytes_of_the_reference_library()
    {
        float[] values = [0, 1, 2, 3, 4, 5];
        byte[] file = Bytes([SafeTensorsSource.FromFloats("attn.0", [1, 2, 3], values)]);
        Assert.Equal(64, file[0]);
        Assert.Equal("""{"attn.0":{"dtype":"F32","shape":[1,2,3],"data_offsets":[0,24]}}""", Header(file));
        file = Bytes([SafeTensorsSource.FromFloats("attn0", [1, 1, 2, 3], values)]);
        Assert.Equal(72, file[0]);
        Assert.Equal("""{"attn0":{"dtype":"F32","shape":[1,1,2,3],"data_offsets":[0,24]}}       """, Header(file));
        file = Bytes([SafeTensorsSource.FromBytes("attn.0", "F4", [1, 2], new byte[1])]);
        Assert.Equal("""{"attn.0":{"dtype":"F4","shape":[1,2],"data_offsets":[0,1]}}    """, Header(file));
        Assert.Equal("{}      ", Header(Bytes([])));
        Assert.Equal("""{"__metadata__":{"framework":"pt"}}     """, Header(Bytes([], new Dictionary<string, string> { ["framework"] = "pt" })));
    }

    [Theory]
    [InlineData("random-qwen3")]
    [InlineData("random-mistral")]
    public void Writes_what_transformers_wrote(string model)
    {
        if (Shared("models", model) is not { } folder) { Assert.Skip("There is no shared folder beside the repository."); return; }
        string path = Path.Combine(folder, SafeTensorsFolder.SingleName);
        using SafeTensorsFile file = SafeTensorsFile.Open(path);
        byte[] again = Bytes(file.Entries.Reverse().Select(entry => SafeTensorsSource.FromBytes(entry.Name, entry.DType, entry.Shape, file.Bytes(entry).ToArray())), file.Metadata);
        Assert.True(System.IO.File.ReadAllBytes(path).AsSpan().SequenceEqual(again));
    }

    [Fact]
    public void Opens_every_shared_model()
    {
        if (Shared("models") is not { } models) { Assert.Skip("There is no shared folder beside the repository."); return; }
        int opened = 0;
        foreach (string folder in Directory.GetDirectories(models).Where(folder => Directory.EnumerateFiles(folder, "*.safetensors").Any()))
        {
            using SafeTensorsFolder model = SafeTensorsFolder.Open(folder);
            foreach (SafeTensorsEntry entry in model.Entries)
            {
                float[] values = new float[entry.Count];
                model.CopyTo(entry, values);
                Assert.All(values, value => Assert.True(float.IsFinite(value)));
            }
            Assert.Equal(model.Entries.Count, model.Describe().Count());
            opened++;
        }
        Assert.True(opened >= 8);
    }

    [Fact]
    public void Same_tensors_same_bytes_and_they_come_back()
    {
        SafeTensorsSource[] sources = Samples();
        Dictionary<string, string> metadata = new() { ["b"] = "tab\t, quote \", back\\slash, \u0001, é, 😀", ["a"] = "" };
        byte[] first = Bytes(sources, metadata);
        byte[] second = Bytes(sources.Reverse(), metadata.Reverse().ToDictionary());
        Assert.Equal(first, second);
        Assert.Equal(0, BinaryPrimitives.ReadInt64LittleEndian(first) % 8);

        string path = Path.Combine(_folder, "x.safetensors");
        SafeTensorsWriter.Write(path, sources, metadata);
        Assert.Equal(first, System.IO.File.ReadAllBytes(path));
        Assert.Equal([path], Directory.GetFiles(_folder));
        using SafeTensorsFile file = SafeTensorsFile.Open(path);
        Assert.Equal(metadata.OrderBy(pair => pair.Key), file.Metadata.OrderBy(pair => pair.Key));
        Assert.Equal(sources.Length, file.Entries.Count);
        foreach (SafeTensorsSource source in sources)
        {
            SafeTensorsEntry entry = file.Find(source.Name);
            Assert.Equal((source.DType, string.Join(',', source.Shape)), (entry.DType, string.Join(',', entry.Shape)));
            using MemoryStream bytes = new();
            source.Write(bytes);
            Assert.Equal(bytes.ToArray(), file.Bytes(entry).ToArray());
            if (entry.DType is "F32" or "I64" or "F64") Assert.Equal(0, entry.Offset % (entry.DType == "F32" ? 4 : 8));
        }
    }

    [Fact]
    public void The_writer_refuses_sources_that_cannot_be_stored_and_leaves_the_old_file()
    {
        string path = Path.Combine(_folder, "x.safetensors");
        SafeTensorsWriter.Write(path, [SafeTensorsSource.FromBytes("old", "U8", [1], new byte[1])]);
        byte[] before = System.IO.File.ReadAllBytes(path);
        SafeTensorsSource one = SafeTensorsSource.FromBytes("a", "U8", [1], new byte[1]);
        Assert.Throws<ArgumentException>(() => SafeTensorsWriter.Write(path, [one, one]));
        Assert.Throws<ArgumentException>(() => SafeTensorsWriter.Write(path, [one with { Name = "__metadata__" }]));
        Assert.Throws<ArgumentException>(() => SafeTensorsWriter.Write(path, [one with { Shape = [-1] }]));
        Assert.Throws<ArgumentException>(() => SafeTensorsWriter.Write(path, [one with { DType = "F33" }]));
        Assert.Throws<InvalidOperationException>(() => SafeTensorsWriter.Write(path, [one with { Shape = [2] }]));
        Assert.Throws<InvalidOperationException>(() => SafeTensorsWriter.Write(path, [one with { Shape = [0] }]));
        Assert.Throws<UserException>(() => SafeTensorsWriter.Write(path, [one with { Write = _ => throw new IOException("disk full") }]));
        Assert.Equal(before, System.IO.File.ReadAllBytes(path));
        Assert.Single(Directory.GetFiles(_folder));
    }

    [Fact]
    public void A_huge_file_opens_at_once_and_is_read_past_two_gibibytes()
    {
        const long Size = 5L << 30;
        string path = Path.Combine(_folder, "huge.safetensors");
        byte[] start = File($$$"""{"w":{"dtype":"BF16","shape":[{{{Size / 2}}}],"data_offsets":[0,{{{Size}}}]}}""", []);
        using (FileStream stream = System.IO.File.Create(path))
        {
            stream.Write(start);
            stream.SetLength(start.Length + Size);   // sparse: no disk is used
            stream.Seek(-2, SeekOrigin.End);
            stream.Write([0x80, 0x3F]);
        }
        double best = double.MaxValue;
        for (int i = 0; i < 5; i++)
        {
            long before = Stopwatch.GetTimestamp();
            using SafeTensorsFile file = SafeTensorsFile.Open(path);
            best = Math.Min(best, Stopwatch.GetElapsedTime(before).TotalMilliseconds);
            SafeTensorsEntry entry = file.Find("w");
            Assert.Throws<ArgumentException>(() => file.Bytes(entry).Length);
            Assert.Equal([0x80, 0x3F], file.Bytes(entry, Size - 2, 2).ToArray());
            float[] last = new float[2];
            file.CopyTo(entry, Size / 2 - 2, last);
            Assert.Equal([0f, 1f], last);
        }
        Assert.True(best < 20, $"Opening took {best:f1} ms.");
    }

    internal static SafeTensorsSource[] Samples() =>
    [
        SafeTensorsSource.FromFloats("model.b", [2, 3], new float[] { 1, -2, 3.5f, 4, 5, 6 }),
        SafeTensorsSource.FromFloats("model.a", [3], new float[] { 1, -2, 0 }, "BF16"),
        SafeTensorsSource.FromFloats("half", [1, 1], new float[] { 0.333f }, "F16"),
        SafeTensorsSource.FromFloats("scalar", [], new float[] { 7 }),
        SafeTensorsSource.FromFloats("empty", [0, 4], Array.Empty<float>()),
        SafeTensorsSource.FromBytes("ids", "I64", [2], new byte[16]),
        SafeTensorsSource.FromBytes("mask", "BOOL", [3], new byte[] { 1, 0, 1 }),
        SafeTensorsSource.FromBytes("wide", "F64", [5], new byte[40]),
        SafeTensorsSource.FromBytes("q6", "F6_E2M3", [4], new byte[3]),
        SafeTensorsSource.FromBytes("quote\" é 😀 \\ \n", "U8", [2], new byte[] { 1, 2 }),
    ];

    internal static byte[] Bytes(IEnumerable<SafeTensorsSource> sources, IReadOnlyDictionary<string, string>? metadata = null)
    {
        using MemoryStream stream = new();
        SafeTensorsWriter.Write(stream, sources, metadata);
        return stream.ToArray();
    }

    private static TheoryData<string, bool, string> CasesIn(string folder)
    {
        TheoryData<string, bool, string> data = [];
        using JsonDocument cases = JsonDocument.Parse(System.IO.File.ReadAllText(Path.Combine(folder, "cases.json")));
        foreach (JsonElement item in cases.RootElement.EnumerateArray())
            data.Add(item.GetProperty("file").GetString()!, item.GetProperty("valid").GetBoolean(), item.GetProperty("what").GetString()!);
        return data;
    }

    private static void Judge(string path, bool valid, string what)
    {
        if (valid)
        {
            using SafeTensorsFile file = SafeTensorsFile.Open(path);
            Assert.NotEmpty(file.Entries);
            foreach (SafeTensorsEntry entry in file.Entries) Assert.Equal(entry.ByteCount, file.Bytes(entry).Length);
            return;
        }
        UserException refusal = Assert.Throws<UserException>(() => SafeTensorsFile.Open(path));
        AssertSentence(path, refusal.Message, what);
    }

    private static void AssertRefused(byte[] file, string words)
    {
        UserException refusal = Assert.Throws<UserException>(() => Parse(file));
        Assert.Contains(words, refusal.Message, StringComparison.Ordinal);
        AssertSentence("memory", refusal.Message, words);
    }

    private static void AssertSentence(string path, string message, string what) =>
        Assert.True(message.StartsWith(path, StringComparison.Ordinal) && message.EndsWith('.') && !message.Contains('\n'), $"{what}: {message}");

    private static SafeTensorsHeader Parse(byte[] file) => SafeTensorsHeader.Parse("memory", file, file.Length);

    private static byte[] File(string json, byte[] data)
    {
        byte[] text = Encoding.UTF8.GetBytes(json), length = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, text.Length);
        return [.. length, .. text, .. data];
    }

    private static string Header(byte[] file) => Encoding.UTF8.GetString(file, 8, BinaryPrimitives.ReadInt32LittleEndian(file));

    /// <summary>A folder under "shared" beside the repository, or null; searched upwards, as the repository may lie deeper.</summary>
    private static string? Shared(params string[] parts)
    {
        for (string? folder = Repository.Root; folder is not null; folder = Path.GetDirectoryName(folder))
        {
            string candidate = Path.Combine([folder, "shared", .. parts]);
            if (Directory.Exists(candidate)) return candidate;
        }
        return null;
    }
}
