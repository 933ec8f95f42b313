using System.Buffers.Binary;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;

using QSharp.Engine;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>GGUF files good and bad: what is read, what is refused and in which words.</summary>
public sealed class GgufTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static string? Shared(params ReadOnlySpan<string> names)
    {
        string path = Path.Combine([Repository.Root, "..", "shared", .. names]);
        return Path.Exists(path) ? path : null;
    }

    public static TheoryData<string, bool, string> Cases()
    {
        if (Shared("data", "gguf", "cases.json") is not { } path) return new() { { "", true, "no shared folder" } };
        TheoryData<string, bool, string> data = [];
        using JsonDocument cases = JsonDocument.Parse(File.ReadAllText(path));
        foreach (JsonElement item in cases.RootElement.EnumerateArray())
            data.Add(item.GetProperty("file").GetString()!, item.GetProperty("valid").GetBoolean(), item.GetProperty("what").GetString()!);
        return data;
    }

    [Theory, MemberData(nameof(Cases))]
    public void Takes_good_files_and_refuses_bad_ones(string name, bool valid, string what)
    {
        if (Shared("data", "gguf") is not { } folder)
        {
            Assert.Skip("There is no shared folder beside the repository.");
            return;
        }
        string path = Path.Combine(folder, name);
        if (!valid)
        {
            Sentence.Assert(Assert.Throws<UserException>(() => GgufFile.Open(path)).Message, path);
            return;
        }
        using GgufFile file = GgufFile.Open(path);
        Assert.NotEmpty(file.Tensors);
        foreach (GgufTensor tensor in file.Tensors)
        {
            Assert.True(tensor.Type == "F32", what);
            float[] values = new float[tensor.Count];
            file.CopyTo(tensor, values);
            Assert.All(values, value => Assert.True(float.IsFinite(value)));
        }
    }

    [Theory]
    [InlineData("bad_version_1", "version 1 of GGUF")]
    [InlineData("bad_big_endian", "big-endian")]
    [InlineData("bad_tensor_count_huge", "1152921504606846976 tensors")]
    [InlineData("bad_string_length_huge", "1152921504606846976 bytes")]
    [InlineData("bad_offset_past_eof", "beyond the end of the file")]
    [InlineData("bad_truncated_data", "beyond the end of the file")]
    [InlineData("bad_dims_overflow", "dimension of 8589934592")]
    [InlineData("bad_type_unknown", "unknown type 250")]
    [InlineData("bad_duplicate_name", "there twice")]
    [InlineData("bad_value_type_unknown", "unknown value type 77")]
    public void Says_what_is_wrong(string name, string words)
    {
        if (Shared("data", "gguf", name + ".gguf") is not { } path) Assert.Skip("There is no shared folder beside the repository.");
        else Assert.Contains(words, Assert.Throws<UserException>(() => GgufFile.Open(path)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull")]
    [InlineData("<!DOCTYPE html><html><head>", "web page")]
    [InlineData("PK\u0003\u0004\0\0\b\b\0\0", "zip archive")]
    [InlineData("\u0010\0\0\0\0\0\0\0{\"a\":{}}        ", "safetensors")]
    [InlineData("", "0 bytes")]
    [InlineData("GGU", "does not begin with the letters GGUF")]
    [InlineData("GGUF", "ends within the version")]
    [InlineData("ggjt\u0003\0\0\0\0\0\0\0", "does not begin with the letters GGUF")]
    public void Recognises_what_people_feed_by_mistake(string latin1, string words)
    {
        File.WriteAllBytes(_folder["x.gguf"], Encoding.Latin1.GetBytes(latin1));
        Refused(_folder["x.gguf"], words);
    }

    [Fact]
    public void Refuses_paths_that_are_no_file()
    {
        Refused(_folder["nowhere.gguf"], "does not exist");
        Refused(_folder.Path, "is a folder");
    }

    [Fact]
    public void Every_type_of_value_is_read()
    {
        using GgufFile file = new GgufBuilder()
            .Set("u8", (byte)200).Set("i8", (sbyte)-100).Set("u16", (ushort)60000).Set("i16", (short)-30000).Set("u32", 4000000000u).Set("i32", -2000000000)
            .Set("u64", 1UL << 40).Set("i64", -(1L << 40)).Set("f32", 0.25f).Set("f64", 1e-300).Set("yes", true).Set("no", false).Set("text", "né ♯")
            .Set("texts", (string[])["", "a", "▁b"]).Set("none", Array.Empty<string>()).Set("shorts", (short[])[-1, 2]).Set("flags", (bool[])[true])
            .Set("nested", (uint[][])[[1], [], [2, 3]]).Set("deep", (byte[][][][])[[[[7]]]])
            .Set("after", "the lists are passed over exactly").Open(_folder);
        Assert.Equal([200, -100, 60000, -30000], ((string[])["u8", "i8", "u16", "i16"]).Select(file.Integer));
        Assert.Equal([4000000000, -2000000000, 1L << 40, -(1L << 40), 0.25, 1e-300], ((string[])["u32", "i32", "u64", "i64", "f32", "f64"]).Select(file.Number));
        Assert.True(file.Flag("yes", false) && !file.Flag("no", true) && file.Flag("absent", true));
        Assert.Equal("né ♯", file.Text("text"));
        Assert.Equal(["", "a", "▁b"], file.Texts("texts"));
        Assert.Empty(file.Texts("none"));
        Assert.Equal([-1, 2], file.Numbers("shorts"));
        Assert.Equal("the lists are passed over exactly", file.Text("after"));
        Assert.Equal("a list of 3", file.Summary()["nested"]);
        Assert.Equal("4000000000", file.Summary()["u32"]);
    }

    [Fact]
    public void A_value_of_another_kind_is_refused_by_its_key()
    {
        using GgufFile file = new GgufBuilder().Set("number", 1.5f).Set("text", "a").Set("huge", ulong.MaxValue).Set("list", (uint[])[1]).Set("flag", true).Open(_folder);
        Action[] wrong =
        [
            () => file.Text("number"), () => file.Text("list"), () => file.Number("text"), () => file.Number("list"), () => file.Integer("number"), () => file.Integer("huge"),
            () => file.Number("flag"), () => file.Flag("number", true), () => file.Texts("list"), () => file.Numbers("text"), () => file.TextOrNull("flag"),
        ];
        string[] keys = ["number", "list", "text", "list", "number", "huge", "flag", "number", "list", "text", "flag"];
        foreach ((Action action, string key) in wrong.Zip(keys)) Sentence.Assert(Assert.Throws<UserException>(action).Message, file.Path, key);
        foreach (Action missing in (Action[])[() => file.Text("k.absent"), () => file.Integer("k.absent"), () => file.Texts("k.absent")])
            Sentence.Assert(Assert.Throws<UserException>(missing).Message, "k.absent");
    }

    [Fact]
    public void Refuses_heads_that_break_a_rule()
    {
        byte[] four = new byte[16];
        Refused(new GgufBuilder().Set("a", 1u).SetAgain("a", 2u), "\"a\" is there twice");
        Refused(new GgufBuilder().Set("", 1u), "0 characters");
        Refused(new GgufBuilder().Set("deep", (byte[][][][][][])[[[[[[7]]]]]]), "nested deeper");
        Refused(new GgufBuilder().Set("general.alignment", 12u), "general.alignment is 12");
        Refused(new GgufBuilder().Set("general.alignment", 0u), "general.alignment is 0");
        Refused(new GgufBuilder().Set("general.alignment", uint.MaxValue), "general.alignment");
        Refused(new GgufBuilder().Set("general.alignment", "32"), "general.alignment");
        Refused(new GgufBuilder().Tensor("w", 0, [], four), "0 dimensions");
        Refused(new GgufBuilder().Tensor("w", 0, [1, 1, 1, 1, 4], four), "5 dimensions");
        Refused(new GgufBuilder().Tensor("w", 0, [0, 4], four), "dimension of 0");
        Refused(new GgufBuilder().Tensor("w", 0, [-1], four), "dimension of 18446744073709551615");
        Refused(new GgufBuilder().Tensor("w", 0, [1L << 62], four), "more bytes than a file");
        Refused(new GgufBuilder().Tensor("w", 3, [2, 16], four), "rows of 16, but Q4_1 comes in blocks of 32");
        Refused(new GgufBuilder().Tensor("w", 0, [4], four, shift: 4), "no multiple of the alignment 32");
        Refused(new GgufBuilder().Tensor("w", 0, [4], four, shift: 32), "beyond the end");
        Refused(new GgufBuilder().Tensor("w", 0, [4], four, shift: -32), "beyond the end");
        Refused(new GgufBuilder().Tensor("w", 0, [12], new byte[48]).Tensor("v", 0, [4], four, shift: -32), "\"w\" and \"v\" share bytes");
        Refused(new GgufBuilder().Numbered("w", 4).Numbered("w", 4), "\"w\" is there twice");
        Refused(new GgufBuilder { Version = 4 }, "version 4");
    }

    [Fact]
    public void Refuses_lists_longer_than_the_file_and_of_unknown_types()
    {
        byte[] file = new GgufBuilder().Set("list", (uint[])[1]).Bytes();
        int at = 24 + 8 + 4 + 4;   // behind magic, version and counts, the key and the value's type: the items' type, then their number
        foreach ((uint type, ulong count, string words) in ((uint, ulong, string)[])
            [(4, 1UL << 61, "2305843009213693952 items"), (8, 1UL << 61, "2305843009213693952 items"), (9, 1UL << 61, "items"), (12, 1UL << 61, "items"), (77, 0, "unknown value type 77")])
        {
            BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(at), type);
            BinaryPrimitives.WriteUInt64LittleEndian(file.AsSpan(at + 4), count);
            File.WriteAllBytes(_folder["x.gguf"], file);
            Refused(_folder["x.gguf"], words);
        }
    }

    [Fact]
    public void Shapes_are_row_major_and_rows_are_read_from_anywhere()
    {
        using GgufFile file = new GgufBuilder { Alignment = 64 }.Set("general.alignment", 64u).Numbered("first", 3).Numbered("w", 2, 3, 5).Open(_folder);
        Assert.True(file.TryFind("w", out GgufTensor tensor) && !file.TryFind("v", out _));
        Assert.Equal([2L, 3, 5], tensor.Shape);
        Assert.Equal((30, 120, 0), (tensor.Count, tensor.ByteCount, tensor.Offset % 64));
        float[] all = new float[30], part = new float[10];
        file.CopyTo(tensor, all);
        Assert.Equal([-124f, -117, -110], all[..3]);
        file.CopyTo(tensor, 4, part);
        Assert.Equal(all[20..], part);
        Assert.Throws<ArgumentException>(() => file.CopyTo(tensor, 5, part));
        Assert.Throws<ArgumentException>(() => file.CopyTo(tensor, -1, part));
    }

    [Fact]
    public void Types_that_cannot_be_read_are_listed_and_refused_by_name()
    {
        using GgufFile file = new GgufBuilder()
            .Tensor("a", 20, [32], new byte[18]).Tensor("b", 35, [256], new byte[66]).Tensor("c", 15, [256], new byte[292]).Tensor("d", 24, [3], new byte[3])
            .Tensor("e", 39, [64], new byte[34]).Open(_folder);
        Assert.Equal(["IQ4_NL", "TQ2_0", "Q8_K", "I8", "MXFP4"], file.Tensors.Select(tensor => tensor.Type));
        foreach (GgufTensor tensor in file.Tensors)
            Sentence.Assert(Assert.Throws<UserException>(() => file.CopyTo(tensor, new float[tensor.Count])).Message, file.Path, tensor.Type, $"'{tensor.Name}'");
    }

    [Fact]
    public void A_closed_file_gives_nothing()
    {
        GgufFile file = new GgufBuilder().Numbered("w", 4).Open(_folder);
        file.Dispose();
        Assert.Throws<ObjectDisposedException>(() => file.CopyTo(file.Tensors[0], new float[4]));
    }

    [Fact]
    public void A_large_vocabulary_and_a_huge_file_open_at_once()
    {
        string[] tokens = [.. Enumerable.Range(0, 256_000).Select(id => "token" + id.ToString(CultureInfo.InvariantCulture))];
        string path = new GgufBuilder().Set("tokenizer.ggml.tokens", tokens).Set("tokenizer.ggml.scores", new float[tokens.Length]).Numbered("w", 8, 4).Save(_folder);
        using (FileStream stream = File.OpenWrite(path)) stream.SetLength(6L << 30);   // sparse: no disk is used
        double best = double.MaxValue;
        for (int i = 0; i < 5; i++)
        {
            long before = Stopwatch.GetTimestamp();
            using GgufFile file = GgufFile.Open(path);
            best = Math.Min(best, Stopwatch.GetElapsedTime(before).TotalMilliseconds);
            if (i == 0) Assert.Equal(tokens, file.Texts("tokenizer.ggml.tokens"));
        }
        Assert.True(best < 20, $"Opening took {best:f1} ms.");
    }

    public void Dispose() => _folder.Dispose();

    private void Refused(GgufBuilder file, string words) => Refused(file.Save(_folder), words);

    private static void Refused(string path, string words)
    {
        UserException refusal = Assert.Throws<UserException>(() => GgufFile.Open(path));
        Sentence.Assert(refusal.Message, path, words);
    }
}
