using System.Buffers.Binary;
using System.Text;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Folders of runs and the files in them: whole or not at all, never somebody else's, and one sentence where they cannot be.</summary>
public class RunFolderTests
{
    private static JsonObject Config(double eta = 0.1) => new() { ["graph"] = new JsonArray(2, 3), ["eta"] = eta, ["seed"] = 1 };

    [Fact]
    public void A_new_or_empty_folder_is_taken_and_gets_its_config()
    {
        using TemporaryFolder folder = new();
        foreach (string path in new[] { folder["a", "b"], folder.Path + "/c/" })
        {
            RunFolder run = RunFolder.Open(path, "train", ExistingFolder.Refuse, Config());
            JsonObject expected = Config();
            expected["verb"] = "train";
            Assert.True(JsonNode.DeepEquals(expected, run.ReadJson("config.json")));
            Assert.Equal(["config.json"], Directory.GetFileSystemEntries(path).Select(Path.GetFileName));
        }
        Directory.CreateDirectory(folder["empty"]);
        RunFolder.Open(folder["empty"], "train", ExistingFolder.Refuse, Config());
    }

    [Fact]
    public void A_folder_that_holds_something_is_refused()
    {
        using TemporaryFolder folder = new();
        File.WriteAllText(folder["notes"], "kept");
        Refused(folder.Path, ExistingFolder.Refuse, Config(), "--out", "--resume", "--overwrite");
        Refused(folder["notes"], ExistingFolder.Refuse, Config(), "--out", "file");
        Assert.Equal(["notes"], folder.Entries());
    }

    [Fact]
    public void Only_the_folder_of_a_run_is_overwritten()
    {
        using TemporaryFolder folder = new();
        Directory.CreateDirectory(folder["home", "inner"]);
        File.WriteAllText(folder["home", "notes"], "kept");
        Refused(folder["home"], ExistingFolder.Overwrite, Config(), "--overwrite", "config.json");
        Refused(folder["home"], ExistingFolder.Resume, Config(), "--resume", "config.json");
        Assert.Equal(["home", "home/inner", "home/notes"], folder.Entries());

        RunFolder.Open(folder["run"], "train", ExistingFolder.Overwrite, Config()).WriteJson("result.json", new JsonObject());
        RunFolder again = RunFolder.Open(folder["run"], "train", ExistingFolder.Overwrite, Config(0.5));
        Assert.Equal(["config.json"], Directory.GetFileSystemEntries(folder["run"]).Select(Path.GetFileName));
        Assert.Equal(0.5, (double?)again.ReadJson("config.json")!["eta"]);
        Sentence.Assert(Assert.Throws<UserException>(() => RunFolder.Open(folder["run"], "evaluate", ExistingFolder.Overwrite, Config())).Message, "--overwrite", "'train'", "'evaluate'");
        Assert.Equal(0.5, (double?)again.ReadJson("config.json")!["eta"]);
    }

    [Fact]
    public void A_model_is_neither_overwritten_nor_resumed_though_it_has_a_config()
    {
        using TemporaryFolder folder = new();
        Directory.CreateDirectory(folder["model"]);
        File.WriteAllText(folder["model", "config.json"], """{ "model_type": "gpt2" }""");
        File.WriteAllText(folder["model", "model.safetensors"], "weights");
        Refused(folder["model"], ExistingFolder.Overwrite, Config(), "--overwrite", "verb");
        Refused(folder["model"], ExistingFolder.Resume, Config(), "--resume", "verb");
        Assert.Equal("weights", File.ReadAllText(folder["model", "model.safetensors"]));
    }

    [Fact]
    public void Resuming_compares_the_config_and_names_the_key_that_differs()
    {
        using TemporaryFolder folder = new();
        RunFolder.Open(folder["run"], "train", ExistingFolder.Refuse, Config()).WriteJson("result.json", new JsonObject());
        Assert.NotNull(RunFolder.Open(folder["run"], "train", ExistingFolder.Resume, Config()).ReadJson("result.json"));
        Refused(folder["run"], ExistingFolder.Resume, Config(0.5), "--resume", "eta", "0.1", "0.5");
        JsonObject more = Config();
        more["rounds"] = 2;
        Refused(folder["run"], ExistingFolder.Resume, more, "rounds", "nothing", "2");
        Assert.Equal(0.1, (double?)JsonNode.Parse(File.ReadAllText(folder["run", "config.json"]))!["eta"]);

        File.WriteAllText(folder["run", "config.json"], "{ \"eta\":");
        Refused(folder["run"], ExistingFolder.Resume, Config(), "config.json", "JSON");
        Sentence.Assert(Assert.Throws<UserException>(() => RunFolder.Open(null, "train", ExistingFolder.Resume, Config())).Message, "--resume", "--out");
    }

    [Fact]
    public void A_place_that_cannot_be_written_is_one_sentence()
    {
        using TemporaryFolder folder = new();
        File.WriteAllText(folder["file"], "kept");
        List<string> places = [folder["file", "run"], folder["file", "run", "deep"]];
        if (Directory.Exists("/proc")) places.Add("/proc/qsharp-run");
        foreach (string place in places)
        {
            Refused(place, ExistingFolder.Refuse, Config(), place);
            Sentence.Assert(Assert.Throws<UserException>(() => AtomicFile.WriteText(Path.Combine(place, "x.json"), "{}")).Message, place);
            Sentence.Assert(Assert.Throws<UserException>(() => AtomicFolder.Write(place, _ => { })).Message, place);
        }
        Assert.Equal(["file"], folder.Entries());
        Assert.Equal("kept", File.ReadAllText(folder["file"]));
    }

    [Fact]
    public void A_file_appears_whole_or_not_at_all()
    {
        using TemporaryFolder folder = new();
        string path = folder["inner", "data"];
        AtomicFile.WriteText(path, "old");
        Assert.Throws<InvalidOperationException>(() => AtomicFile.Write(path, stream =>
        {
            stream.Write(new byte[100_000]);
            throw new InvalidOperationException("in the middle");
        }));
        UserException refusal = Assert.Throws<UserException>(() => AtomicFile.Write(path, _ => throw new IOException("No space left on device.")));
        Sentence.Assert(refusal.Message, path, "No space left");
        Assert.Equal(["inner", "inner/data"], folder.Entries());
        Assert.Equal("old", File.ReadAllText(path));
        File.WriteAllText(path + ".partial", "left by a process that was killed, and longer than what follows");
        AtomicFile.WriteText(path, "new");
        Assert.Equal(["inner", "inner/data"], folder.Entries());
        Assert.Equal("new", File.ReadAllText(path));
    }

    [Fact]
    public void A_folder_appears_whole_or_not_at_all()
    {
        using TemporaryFolder folder = new();
        string path = folder["model"];
        AtomicFolder.Write(path, partial => File.WriteAllText(Path.Combine(partial, "old"), "old"));
        Assert.Throws<InvalidOperationException>(() => AtomicFolder.Write(path, partial =>
        {
            File.WriteAllText(Path.Combine(partial, "half"), "");
            throw new InvalidOperationException("in the middle");
        }));
        Sentence.Assert(Assert.Throws<UserException>(() => AtomicFolder.Write(path, _ => throw new IOException("No space left on device."))).Message, path);
        Assert.Equal(["model", "model/old"], folder.Entries());
        AtomicFolder.Write(folder["elsewhere"], partial =>
        {
            // What a process that is killed here leaves behind.
            File.WriteAllText(Path.Combine(partial, "left"), "by a process that was killed");
            Directory.CreateDirectory(path + ".partial");
            foreach (string file in Directory.GetFiles(partial)) File.WriteAllText(Path.Combine(path + ".partial", Path.GetFileName(file)), "");
            // Another process must not take this one's work for such.
            Sentence.Assert(Assert.Throws<UserException>(() => AtomicFolder.Write(folder["elsewhere"], _ => { })).Message, "elsewhere.partial", "another process");
        });
        AtomicFolder.Write(path, partial => File.WriteAllText(Path.Combine(partial, "new"), "new"));
        Assert.Equal(["elsewhere", "elsewhere/left", "model", "model/new"], folder.Entries());
    }

    [Theory, InlineData(".partial"), InlineData(".old.partial")]
    public void A_folder_that_is_in_the_way_is_named_and_kept(string ending)
    {
        using TemporaryFolder folder = new();
        string path = folder["model"], other = path + ending;
        Directory.CreateDirectory(other);
        File.WriteAllText(Path.Combine(other, "mine"), "kept");
        Sentence.Assert(Assert.Throws<UserException>(() => AtomicFolder.Write(path, _ => Assert.Fail("written"))).Message, other, "delete it");
        Assert.Equal("kept", File.ReadAllText(Path.Combine(other, "mine")));
        Assert.False(Directory.Exists(path));
    }

    [Fact]
    public void A_full_disk_is_one_sentence_and_leaves_the_old_file()
    {
        Assert.SkipUnless(File.Exists("/dev/full"), "This system has no /dev/full.");
        using TemporaryFolder folder = new();
        AtomicFile.WriteText(folder["data"], "old");
        File.CreateSymbolicLink(folder["data.partial"], "/dev/full");
        Sentence.Assert(Assert.Throws<UserException>(() => AtomicFile.Write(folder["data"], stream => stream.Write(new byte[1 << 20]))).Message, folder["data"], "space");
        Assert.Equal(["data"], folder.Entries());
        Assert.Equal("old", File.ReadAllText(folder["data"]));
    }

    [Fact]
    public void Metrics_are_lines_of_json_and_resuming_forgets_what_comes_after_the_checkpoint()
    {
        using TemporaryFolder folder = new();
        RunFolder run = RunFolder.Open(folder["run"], "train", ExistingFolder.Refuse, Config());
        Assert.Empty(MetricsLog.Read(run, "guide").Steps);
        using (MetricsLog log = new(run))
        {
            for (int step = 1; step <= 5; step++) log.Write("reference", step, 1.0 / step);
            for (int step = 1; step <= 5; step++) log.Write("guide", step, step == 2 ? double.NaN : 0.5);
        }
        Assert.Equal(10, File.ReadAllLines(run.MetricsPath).Length);
        Assert.Equal("""{"phase":"guide","step":2,"loss":null}""", File.ReadAllLines(run.MetricsPath)[6]);
        File.AppendAllText(run.MetricsPath, """{"phase":"guide","st""");
        using (MetricsLog log = new(run))
        {
            log.TruncateAfter("guide", 3);
            log.Write("guide", 4, 0.25);
        }
        (double[] steps, double[] losses) = MetricsLog.Read(run, "guide");
        Assert.Equal([1, 3, 4], steps);
        Assert.Equal([0.5, 0.5, 0.25], losses);
        Assert.Equal([1, 2, 3, 4, 5], MetricsLog.Read(run, "reference").Steps);
        Assert.Equal(9, File.ReadAllLines(run.MetricsPath).Length);
        Assert.DoesNotContain(folder.Entries(), entry => entry.EndsWith(".partial", StringComparison.Ordinal));
    }

    [Fact]
    public void The_checksum_of_TensorBoard_is_crc32c_masked()
    {
        // CRC-32C of "123456789" is E3069283 (RFC 3720); TFRecord turns it right by 15 bits and adds A282EAD8.
        const uint crc = 0xE3069283;
        Assert.Equal(((crc >> 15) | (crc << 17)) + 0xA282EAD8, TensorBoardWriter.MaskedChecksum("123456789"u8));
        Assert.Equal(0xA282EAD8, TensorBoardWriter.MaskedChecksum([]));
    }

    [Fact]
    public void An_event_file_holds_records_that_TensorBoard_can_read()
    {
        using TemporaryFolder folder = new();
        using (TensorBoardWriter writer = new(folder.Path))
        {
            writer.Write("guide/loss", 7, 0.625f);
            writer.Write("π", 1L << 40, -1);
        }
        string file = Assert.Single(Directory.GetFiles(folder.Path, "events.out.tfevents.*"));
        List<byte[]> records = Records(File.ReadAllBytes(file));
        Assert.Equal(3, records.Count);
        Assert.Equal((0UL, 3), Head(records[0], out byte[] version));
        Assert.Equal("brain.Event:2", Encoding.UTF8.GetString(version));
        Assert.Equal((7UL, 5), Head(records[1], out byte[] first));
        Assert.Equal(("guide/loss", 0.625f), Value(first));
        Assert.Equal((1UL << 40, 5), Head(records[2], out byte[] second));
        Assert.Equal(("π", -1f), Value(second));
    }

    private static void Refused(string path, ExistingFolder existing, JsonObject config, params string[] names) =>
        Sentence.Assert(Assert.Throws<UserException>(() => RunFolder.Open(path, "train", existing, config)).Message, names);

    /// <summary>u64 length, checksum of it, payload, checksum of that.</summary>
    private static List<byte[]> Records(byte[] bytes)
    {
        List<byte[]> records = [];
        for (int at = 0; at < bytes.Length;)
        {
            int length = checked((int)BinaryPrimitives.ReadUInt64LittleEndian(bytes.AsSpan(at)));
            Assert.Equal(TensorBoardWriter.MaskedChecksum(bytes.AsSpan(at, 8)), BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(at + 8)));
            byte[] payload = bytes[(at + 12)..(at + 12 + length)];
            Assert.Equal(TensorBoardWriter.MaskedChecksum(payload), BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(at + 12 + length)));
            records.Add(payload);
            at += 16 + length;
        }
        return records;
    }

    /// <summary>Wall time (field 1, a double), step (field 2, a varint) and the number of the field that follows, with its bytes.</summary>
    private static (ulong Step, int Field) Head(byte[] payload, out byte[] rest)
    {
        Assert.Equal((1 << 3) | 1, payload[0]);
        double age = DateTimeOffset.UtcNow.ToUnixTimeSeconds() - BinaryPrimitives.ReadDoubleLittleEndian(payload.AsSpan(1));
        Assert.InRange(age, -10, 600);
        int at = 9;
        Assert.Equal(2 << 3, payload[at++]);
        ulong step = Varint(payload, ref at);
        int field = payload[at] >> 3;
        rest = Bytes(payload, field, ref at);
        Assert.Equal(payload.Length, at);
        return (step, field);
    }

    /// <summary>Summary {1: value {1: tag, 2: number}}.</summary>
    private static (string Tag, float Number) Value(byte[] summary)
    {
        int at = 0, inner = 0;
        byte[] value = Bytes(summary, 1, ref at);
        Assert.Equal(summary.Length, at);
        string tag = Encoding.UTF8.GetString(Bytes(value, 1, ref inner));
        Assert.Equal((2 << 3) | 5, value[inner++]);
        Assert.Equal(value.Length, inner + 4);
        return (tag, BinaryPrimitives.ReadSingleLittleEndian(value.AsSpan(inner)));
    }

    private static byte[] Bytes(byte[] message, int field, ref int at)
    {
        Assert.Equal((field << 3) | 2, message[at++]);
        int length = (int)Varint(message, ref at);
        at += length;
        return message[(at - length)..at];
    }

    private static ulong Varint(byte[] message, ref int at)
    {
        ulong value = 0;
        for (int shift = 0; ; shift += 7)
        {
            byte part = message[at++];
            value |= (ulong)(part & 0x7F) << shift;
            if (part < 0x80) return value;
        }
    }
}
