using System.Buffers.Binary;
using System.Numerics;
using System.Text.Json.Nodes;

using CsCheck;

using QSharp.Engine;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Roll-outs on disk: what was written comes back, a torn tail is cut, any other damage is one sentence.</summary>
public class RolloutFileTests(ITestOutputHelper output)
{
    private const int HeaderBytes = 18, FixedBytes = 8 + 40, Cases = 20_000;

    private static readonly Rollout[] _samples =
    [
        new Rollout(0, 0, 1, [3, 7, 1, 2], 2, 0, 0, 1),
        new Rollout(0, 1, 1, [3, 7, 1], 2, 1, 0, 0),
        new Rollout(long.MaxValue, 1L << 50, 2, [.. Enumerable.Range(0, 300)], 100, 200, 10, 0.25f),
        new Rollout(5, 11, 2, [1, 2, 3, 4, 5], 3, 2, -1.5f, 1),
    ];

    [Fact]
    public void Records_come_back_as_they_were_and_more_can_be_appended()
    {
        using TemporaryFolder folder = new();
        string path = folder["data.bin"];
        using (RolloutFile file = RolloutFile.Append(path))
        {
            Assert.Equal(0, file.Records);
            file.Write(_samples.AsSpan(0, 2));
            AssertSame(_samples[..2], RolloutFile.Read(path));   // a batch is with the operating system as soon as it is written
            file.Write([]);
            file.Write(_samples.AsSpan(2, 1));
            Assert.Equal(3, file.Records);
        }
        using (RolloutFile file = RolloutFile.Append(path))
        {
            Assert.Equal(3, file.Records);
            Assert.Equal(0, file.DroppedBytes);
            file.Write(_samples.AsSpan(3));
        }
        AssertSame(_samples, RolloutFile.Read(path));
        Assert.Equal(HeaderBytes + _samples.Sum(sample => FixedBytes + 4L * sample.Tokens.Length), new FileInfo(path).Length);
    }

    [Fact]
    public void A_tail_torn_at_any_byte_is_dropped_and_reported()
    {
        using TemporaryFolder folder = new();
        byte[] whole = Bytes(folder, _samples);
        int last = FixedBytes + 4 * _samples[^1].Tokens.Length, kept = whole.Length - last;
        for (int cut = 0; cut < last; cut++)
        {
            string path = folder["torn.bin"];
            File.WriteAllBytes(path, whole[..(kept + cut)]);
            AssertSame(_samples[..^1], RolloutFile.Read(path));
            using (RolloutFile file = RolloutFile.Append(path))
            {
                Assert.Equal(_samples.Length - 1, file.Records);
                Assert.Equal(cut, file.DroppedBytes);
                file.Write(_samples.AsSpan(_samples.Length - 1));
            }
            Assert.Equal(whole, File.ReadAllBytes(path));
        }
    }

    [Fact]
    public void A_header_that_was_cut_short_is_written_anew()
    {
        using TemporaryFolder folder = new();
        byte[] whole = Bytes(folder, _samples);
        for (int cut = 0; cut <= HeaderBytes; cut++)
        {
            File.WriteAllBytes(folder["data.bin"], whole[..cut]);
            using (RolloutFile file = RolloutFile.Append(folder["data.bin"])) file.Write(_samples);
            Assert.Equal(whole, File.ReadAllBytes(folder["data.bin"]));
        }
    }

    [Fact]
    public void A_bit_flipped_in_an_earlier_record_is_an_error_that_names_it()
    {
        using TemporaryFolder folder = new();
        byte[] whole = Bytes(folder, [_samples[0], _samples[1], _samples[3]]);
        int second = HeaderBytes + FixedBytes + 16, third = second + FixedBytes + 12;
        for (int bit = 8 * HeaderBytes; bit < 8 * third; bit++)
        {
            byte[] damaged = [.. whole];
            damaged[bit / 8] ^= (byte)(1 << (bit % 8));
            string path = folder["flipped.bin"];
            File.WriteAllBytes(path, damaged);
            string name = $"record {(bit / 8 < second ? 0 : 1)}";
            Sentence.Assert(Assert.Throws<UserException>(() => RolloutFile.Read(path)).Message, path, name);
            Sentence.Assert(Assert.Throws<UserException>(() => RolloutFile.Append(path)).Message, path, name);
            Assert.Equal(damaged, File.ReadAllBytes(path));
        }
    }

    [Fact]
    public void A_foreign_file_is_refused_and_left_as_it_is()
    {
        using TemporaryFolder folder = new();
        foreach (string text in new[] { "x", "qsharp", "notes", "a text of somebody else that is longer than the first line", "qsharp-rollouts-2\nabc" })
        {
            string path = folder["foreign.txt"];
            File.WriteAllText(path, text);
            Sentence.Assert(Assert.Throws<UserException>(() => RolloutFile.Read(path)).Message, path);
            if (!"qsharp-rollouts-1\n".StartsWith(text, StringComparison.Ordinal))
                Sentence.Assert(Assert.Throws<UserException>(() => RolloutFile.Append(path)).Message, path);
            Assert.Equal(text, File.ReadAllText(path));
        }
    }

    [Fact]
    public void A_file_that_cannot_be_opened_is_one_sentence()
    {
        using TemporaryFolder folder = new();
        File.WriteAllText(folder["file"], "");
        foreach (string path in new[] { folder.Path, folder["missing", "data.bin"], folder["file", "data.bin"] })
        {
            Sentence.Assert(Assert.Throws<UserException>(() => RolloutFile.Read(path)).Message, path);
            Sentence.Assert(Assert.Throws<UserException>(() => RolloutFile.Append(path)).Message, path);
        }
    }

    [Fact]
    public void Damaged_bytes_are_read_or_refused_never_a_crash()
    {
        using TemporaryFolder folder = new();
        byte[] good = Bytes(folder, [_samples[0], _samples[1], _samples[3], _samples[0]]);
        string path = folder["damaged.bin"];
        int read = 0, refused = 0;
        string seed = Environment.GetEnvironmentVariable("CsCheck_Seed") ?? Gen.Seed.Single();
        output.WriteLine($"seed {seed}");
        Gen.Select(Gen.Select(Gen.Int[0, 4], Gen.Int[0, 1 << 20], Gen.Byte).Array[1, 4], Gen.Bool).Sample((changes, mend) =>
        {
            File.WriteAllBytes(path, Damage(good, changes, mend));
            try
            {
                foreach (Rollout rollout in RolloutFile.Read(path))
                    Assert.True(rollout.PromptLength >= 1 && rollout.PromptLength < rollout.Tokens.Length && rollout.Kept >= 0 && rollout.PromptLength + rollout.Kept <= rollout.Tokens.Length);
                read++;
            }
            catch (UserException refusal)
            {
                Sentence.Assert(refusal.Message, path);
                refused++;
            }
        }, seed: seed, iter: Cases, threads: 1);
        output.WriteLine($"{read} read, {refused} refused");
        Assert.True(read + refused >= Cases && read > Cases / 100 && refused > Cases / 4, $"{read} read, {refused} refused");
    }

    [Fact]
    public void A_set_is_refused_for_another_task_vocabulary_or_reference()
    {
        using TemporaryFolder folder = new();
        StarGraphTask task = new(new StarGraphSettings(2, 3, 9));
        string reference = new('a', 64), data = folder["set"];
        Assert.False(RolloutSet.Exists(data));
        new RolloutSet(task.Fingerprint, task.Vocabulary, reference, new JsonObject { ["seed"] = 7 }).Save(data);
        RolloutSet set = RolloutSet.Load(data);
        set.Require(data, task, reference);
        Assert.Equal(7, (int?)set.Collection["seed"]);

        Refused(set, new StarGraphTask(new StarGraphSettings(3, 3, 9)), reference, "star-graph(3,3)");
        Refused(set, new StarGraphTask(new StarGraphSettings(2, 3, 10)), reference, "vocabulary of 13");
        Refused(set with { Vocabulary = 99 }, task, reference, "vocabulary of 99");
        Refused(set, task, new string('b', 64), "another reference");
        Refused(set with { Reference = "short" }, task, reference, "another reference");

        void Refused(RolloutSet made, StarGraphTask wanted, string by, string what) =>
            Sentence.Assert(Assert.Throws<UserException>(() => made.Require(data, wanted, by)).Message, data, what);
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("{}")]
    [InlineData("""{"format":1}""")]
    [InlineData("""{"format":"qsharp-rollouts-2"}""")]
    [InlineData("""{"format":"qsharp-rollouts-1","task":"t","reference":"r"}""")]
    [InlineData("""{"format":"qsharp-rollouts-1","task":"t","vocabulary":"9","reference":"r"}""")]
    [InlineData("""{"format":"qsharp-rollouts-1","task":"t","vocabulary":1.5,"reference":"r"}""")]
    [InlineData("""{"format":"qsharp-rollouts-1","task":["t"],"vocabulary":9,"reference":"r"}""")]
    [InlineData("""{"format":"qsharp-rollouts-1","format":"qsharp-rollouts-1","task":"t","vocabulary":9,"reference":"r"}""")]
    public void A_description_that_is_none_is_one_sentence(string json)
    {
        using TemporaryFolder folder = new();
        File.WriteAllText(folder["dataset.json"], json);
        Sentence.Assert(Assert.Throws<UserException>(() => RolloutSet.Load(folder.Path)).Message, folder.Path);
    }

    [Fact]
    public void A_missing_set_is_one_sentence()
    {
        using TemporaryFolder folder = new();
        Sentence.Assert(Assert.Throws<UserException>(() => RolloutSet.Load(folder["none"])).Message, folder["none"], "qsharp collect");
    }

    private static byte[] Bytes(TemporaryFolder folder, Rollout[] rollouts)
    {
        string path = folder["whole.bin"];
        File.Delete(path);
        using (RolloutFile file = RolloutFile.Append(path)) file.Write(rollouts);
        return File.ReadAllBytes(path);
    }

    private static void AssertSame(Rollout[] expected, IReadOnlyList<Rollout> actual)
    {
        Assert.Equal(expected.Length, actual.Count);
        for (int i = 0; i < expected.Length; i++)
        {
            Assert.Equal(expected[i].Tokens, actual[i].Tokens);
            Assert.Equal(Fields(expected[i]), Fields(actual[i]));
        }
    }

    private static (long, long, int, int, int, float, float) Fields(Rollout rollout) =>
        (rollout.Problem, rollout.Sample, rollout.Round, rollout.PromptLength, rollout.Kept, rollout.Lambda, rollout.Reward);

    /// <param name="mend">Puts the checksum of the first record right after the damage, so that its fields are looked at.</param>
    private static byte[] Damage(byte[] good, (int Kind, int Place, byte Value)[] changes, bool mend)
    {
        List<byte> bytes = [.. good];
        int reach = mend ? HeaderBytes + FixedBytes : int.MaxValue;
        foreach ((int kind, int place, byte value) in changes)
        {
            if (bytes.Count == 0) break;
            int at = mend ? HeaderBytes + place % FixedBytes : place % bytes.Count;
            if (at >= Math.Min(bytes.Count, reach)) continue;
            if (kind == 0) bytes[at] = value;
            else if (kind == 1) bytes[at] ^= (byte)(1 << (value & 7));
            else if (kind == 2 && !mend) bytes.RemoveRange(at, Math.Min(value % 16, bytes.Count - at));
            else if (kind == 3 && !mend) bytes.InsertRange(at, Enumerable.Repeat(value, value % 16));
            else if (kind == 4 && value % 4 == 0) bytes.RemoveRange(at, bytes.Count - at);
            else bytes[at] = (byte)(value % 5);
        }
        byte[] damaged = [.. bytes];
        if (!mend || damaged.Length < HeaderBytes + 8) return damaged;
        long length = BinaryPrimitives.ReadUInt32LittleEndian(damaged.AsSpan(HeaderBytes));
        Span<byte> payload = damaged.AsSpan(HeaderBytes + 8);
        if (length <= payload.Length)
        {
            uint crc = uint.MaxValue;
            foreach (byte value in payload[..(int)length]) crc = BitOperations.Crc32C(crc, value);
            BinaryPrimitives.WriteUInt32LittleEndian(damaged.AsSpan(HeaderBytes + 4), ~crc);
        }
        return damaged;
    }
}
