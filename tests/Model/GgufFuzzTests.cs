using System.Globalization;

using CsCheck;

using QSharp.Engine;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>
/// Damaged GGUF files: whatever the bytes, all that is listed can be read, or the answer is a <see cref="UserException"/>. Files
/// are written and mapped, since reading outside of a mapping ends the process.
/// </summary>
public sealed class GgufFuzzTests(ITestOutputHelper output) : IDisposable
{
    private const int Cases = 100_000;

    /// <summary>Numbers that mean something in a head: types, small lengths and the ends of ranges.</summary>
    private static readonly ulong[] _numbers =
    [
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 20, 30, 31, 32, 33, 64, 255, 256, int.MaxValue, 1UL << 31, uint.MaxValue, 1UL << 32, 1UL << 33, 1UL << 60, long.MaxValue,
        1UL << 63, ulong.MaxValue - 31, ulong.MaxValue,
    ];

    private static readonly Gen<(int Kind, int Place, int Value)[]> _changes = Gen.Select(Gen.Int[0, 7], Gen.Int[0, int.MaxValue - 1], Gen.Int[0, 1 << 16]).Array[1, 4];

    // In memory where the system has such a folder: most of the time goes into making files.
    private readonly string _folder = Path.Combine(Directory.Exists("/dev/shm") ? "/dev/shm" : Path.GetTempPath(), "qsharp-fuzz-" + Guid.NewGuid().ToString("N"));
    private readonly ThreadLocal<string> _name = new(() => Guid.NewGuid().ToString("N"));

    [Fact]
    public void A_damaged_file_is_read_or_refused()
    {
        byte[][] good = [GgufBuilder.TinyLlama().Bytes(), Varied().Bytes(), Gpt2().Bytes(), BytePairs().Bytes()];
        Directory.CreateDirectory(_folder);
        int files = 0, models = 0, refused = 0;
        string seed = Environment.GetEnvironmentVariable("CsCheck_Seed") ?? Gen.Seed.Single();
        output.WriteLine($"seed {seed}");
        Gen.Select(Gen.Int[0, good.Length - 1], _changes).Sample((which, changes) =>
        {
            string path = Path.Combine(_folder, _name.Value!);
            File.WriteAllBytes(path, Damage(good[which], changes));
            try
            {
                ReadFile(path);
                Interlocked.Increment(ref files);
                ReadModel(path);
                Interlocked.Increment(ref models);
            }
            catch (UserException refusal)
            {
                Assert.True(refusal.Message.StartsWith(path, StringComparison.Ordinal) && refusal.Message.EndsWith('.') && !refusal.Message.Any(char.IsControl), refusal.Message);
                Interlocked.Increment(ref refused);
            }
        }, seed: seed, iter: Cases);
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{files} files read, {models} of them as models; {refused} refused"));
        Assert.True(models + refused >= Cases && files > Cases / 10 && models > Cases / 50 && refused > Cases / 4, $"{files}, {models}, {refused}");
    }

    public void Dispose()
    {
        _name.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private static void ReadFile(string path)
    {
        using GgufFile file = GgufFile.Open(path);
        foreach ((string key, string value) in file.Summary())
            if (value.StartsWith("a list of ", StringComparison.Ordinal)) ReadList(file, key);
        foreach (GgufTensor tensor in file.Tensors)
        {
            Assert.True(tensor.Offset >= 0 && tensor.ByteCount <= new FileInfo(path).Length - tensor.Offset);
            if (BlockQuants.IsSupported(tensor.Type)) file.CopyTo(tensor, new float[tensor.Count]);
            else Assert.Throws<UserException>(() => file.CopyTo(tensor, new float[tensor.Count]));
        }
    }

    /// <summary>A list holds texts, or numbers, or what cannot be asked for.</summary>
    private static void ReadList(GgufFile file, string key)
    {
        foreach (Func<string, Array> read in (Func<string, Array>[])[file.Texts, file.Numbers])
        {
            try
            {
                Assert.NotNull(read(key));
                return;
            }
            catch (UserException refusal)
            {
                Assert.Contains(key, refusal.Message, StringComparison.Ordinal);
            }
        }
    }

    private static void ReadModel(string path)
    {
        using GgufCheckpoint model = GgufCheckpoint.Open(path);
        foreach (TensorEntry tensor in model.Tensors) model.CopyTo(tensor.Name, new float[tensor.Count]);
        Assert.NotNull(model.Config.ToJsonString());
        Assert.NotNull(model.GenerationConfig.ToJsonString());
        Assert.NotNull(model.TokenizerConfig.ToJsonString());
        Assert.NotNull(model.TokenizerJson.ToJsonString());
        Assert.Equal(model.ChatTemplate, (string?)model.TokenizerConfig["chat_template"]);
    }

    private static byte[] Damage(byte[] good, (int Kind, int Place, int Value)[] changes)
    {
        List<byte> bytes = [.. good];
        foreach ((int kind, int place, int value) in changes)
        {
            if (bytes.Count < 16) break;
            // Two times in three in the first 600 bytes, where the sizes of a model stand.
            int at = place % 3 == 0 ? place / 3 % bytes.Count : place / 3 % Math.Min(600, bytes.Count);
            int count = Math.Min(1 + value % 24, bytes.Count - at);
            switch (kind)
            {
                case 0:
                    bytes[at] = (byte)value;
                    break;
                case 1:
                    bytes[at] ^= (byte)(1 << (value & 7));
                    break;
                case 2 or 3:   // a number of 4 or 8 bytes
                    byte[] number = BitConverter.GetBytes(_numbers[value % _numbers.Length]);
                    for (int i = 0; i < 4 * (kind - 1) && at + i < bytes.Count; i++) bytes[at + i] = number[i];
                    break;
                case 4:
                    bytes.RemoveRange(at, count);
                    break;
                case 5:   // a part again elsewhere
                    bytes.InsertRange(at, bytes.GetRange(at, count));
                    break;
                case 6:
                    bytes[at] += (byte)(value % 2 == 0 ? 1 : 255);
                    break;
                default:
                    if (value % 8 == 0) bytes.RemoveRange(at, bytes.Count - at);
                    break;
            }
        }
        return [.. bytes];
    }

    /// <summary>Every type of value and of tensor, and no model.</summary>
    private static GgufBuilder Varied()
    {
        GgufBuilder file = new GgufBuilder { Alignment = 8 }
            .Set("general.alignment", 8u).Set("a", (byte)1).Set("b", (sbyte)-1).Set("c", (ushort)2).Set("d", (short)-2).Set("e", 3u).Set("f", -3).Set("g", 4UL).Set("h", -4L)
            .Set("i", 0.5f).Set("j", 0.25).Set("k", true).Set("l", "text").Set("m", (string[])["one", "", "three"]).Set("n", (double[])[1, 2]).Set("o", (uint[][])[[1], [2, 3]]);
        foreach (uint type in (uint[])[0, 1, 2, 3, 6, 7, 8, 10, 11, 12, 13, 14, 20, 24, 30])
        {
            GgufType known = GgufType.Find(type)!;
            file.Tensor($"t{type}", type, [2, known.BlockSize], [.. Enumerable.Range(0, 2 * known.BlockBytes).Select(i => (byte)(i * 37))]);
        }
        return file;
    }

    private static GgufBuilder Gpt2()
    {
        GgufBuilder file = GgufBuilder.Sizes(BytePairs(), "gpt2", layers: 1, width: 8, heads: 2, kvHeads: 2, hidden: 32, context: 16).Set("gpt2.attention.layer_norm_epsilon", 1e-5f);
        foreach (string name in (string[])["attn_q", "attn_k", "attn_v", "ffn_gate"]) file.WithoutTensor($"blk.0.{name}.weight");
        return file.Numbered("position_embd.weight", 16, 8).Numbered("blk.0.attn_qkv.weight", 24, 8).Numbered("blk.0.attn_qkv.bias", 24);
    }

    private static GgufBuilder BytePairs() => GgufBuilder.TinyLlama()
        .Set("tokenizer.ggml.model", "gpt2").Set("tokenizer.ggml.pre", "smollm").Set("tokenizer.ggml.merges", (string[])["a b", "▁ ab"]).Set("tokenizer.ggml.add_bos_token", true)
        .Set("tokenizer.chat_template", "{{ messages }}").Floats("rope_freqs.weight", [2], [1, 8]);
}
