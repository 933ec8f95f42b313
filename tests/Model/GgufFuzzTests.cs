using System.Globalization;

using CsCheck;

using QSharp.Engine;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Damaged GGUF files: whatever the bytes, the answer is a model inside the file or a <see cref="UserException"/>.</summary>
public class GgufFuzzTests(ITestOutputHelper output)
{
    private const int Cases = 110_000;

    /// <summary>Lengths and types that mean something to a reader.</summary>
    private static readonly byte[][] _pieces =
    [
        [0, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0], [255, 255, 255, 255, 255, 255, 255, 255], [0, 0, 0, 0, 0, 0, 0, 128], [255, 255, 255, 127, 0, 0, 0, 0],
        [0, 0, 0, 0, 1, 0, 0, 0], [9, 0, 0, 0], [8, 0, 0, 0], [7, 0, 0, 0], [9, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0], [255], [0xC3],
    ];

    private static readonly Gen<(int Kind, int Place, int Value)[]> _changes = Gen.Select(Gen.Int[0, 5], Gen.Int[0, int.MaxValue - 1], Gen.Int[0, 1 << 16]).Array[1, 4];

    [Fact]
    public void A_damaged_file_is_read_or_refused()
    {
        byte[][] good =
        [
            GgufModels.Llama().Build(),
            new GgufBuilder().Text("general.architecture", "llama").Flag("f", true).Texts("t", "a", "bc", "").Reals("r", 1, 2).Integer("general.alignment", 32)
                .Floats("a", [2, 3], 1, 2, 3, 4, 5, 6).Tensor("b", 2, [2, 32], new byte[36]).Tensor("c", 14, [1, 256], new byte[210]).Build(),
        ];
        int taken = 0, refused = 0;
        string seed = Environment.GetEnvironmentVariable("CsCheck_Seed") ?? Gen.Seed.Single();
        output.WriteLine($"seed {seed}");
        Gen.Select(Gen.Int[0, good.Length - 1], _changes).Sample((which, changes) =>
        {
            byte[] damaged = Damage(good[which], changes);
            long before = GC.GetAllocatedBytesForCurrentThread();
            try
            {
                Read(damaged);
                Interlocked.Increment(ref taken);
            }
            catch (UserException refusal)
            {
                Assert.True(refusal.Message.StartsWith("memory", StringComparison.Ordinal) && !refusal.Message.Any(char.IsControl), refusal.Message);
                Interlocked.Increment(ref refused);
            }
            long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            Assert.True(allocated < (4 << 20) + 256L * damaged.Length, $"{allocated} bytes for a file of {damaged.Length}");
        }, seed: seed, iter: Cases);
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{taken} read, {refused} refused"));
        Assert.True(taken + refused >= Cases && taken > Cases / 1000 && refused > Cases / 4, $"{taken} read, {refused} refused");
    }

    /// <summary>All that a program asks of a file.</summary>
    private static void Read(byte[] bytes)
    {
        using GgufFile file = GgufFile.Open(new MappedFile("memory", bytes));
        file.Summary();
        foreach (GgufTensor tensor in file.Tensors)
        {
            Assert.InRange(tensor.Offset + tensor.ByteCount, 0, bytes.Length);
            if (BlockQuants.IsSupported(tensor.Type)) file.CopyTo(tensor, new float[tensor.Count]);
        }
        if (!file.Has("tokenizer.ggml.model")) return;
        // Owns the file too; disposing of it twice is harmless.
        using GgufCheckpoint checkpoint = GgufCheckpoint.Open(file);
        ModelFamily.ReadConfig(checkpoint.Config, "memory");
        TokenizerLoader.FromJson(checkpoint.TokenizerJson, "memory").Encode("ab A");
        _ = checkpoint.TokenizerConfig.ToJsonString() + checkpoint.GenerationConfig.ToJsonString();
        foreach (TensorEntry tensor in checkpoint.Tensors) checkpoint.CopyTo(tensor.Name, new float[tensor.Count]);
    }

    private static byte[] Damage(byte[] good, (int Kind, int Place, int Value)[] changes)
    {
        List<byte> bytes = [.. good];
        foreach ((int kind, int place, int value) in changes)
        {
            if (bytes.Count == 0) break;
            int at = place % bytes.Count, count = Math.Min(1 + value % 24, bytes.Count - at);
            byte[] piece = _pieces[value % _pieces.Length];
            switch (kind)
            {
                case 0:
                    bytes[at] = (byte)value;
                    break;
                case 1:
                    bytes[at] ^= (byte)(1 << (value & 7));
                    break;
                case 2:   // over what is there, so that the rest stays in place
                    for (int i = 0; i < piece.Length && at + i < bytes.Count; i++) bytes[at + i] = piece[i];
                    break;
                case 3:
                    bytes.InsertRange(at, piece);
                    break;
                case 4:
                    bytes.RemoveRange(at, count);
                    break;
                default:
                    if (value % 8 == 0) bytes.RemoveRange(at, bytes.Count - at);
                    break;
            }
        }
        return [.. bytes];
    }
}
