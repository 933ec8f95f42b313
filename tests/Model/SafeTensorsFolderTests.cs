using System.Text.Json;

using QSharp.Engine;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Weights in several files, their index, and what a folder may hold instead.</summary>
public sealed class SafeTensorsFolderTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("qsharp-safetensors-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Several_files_are_one_set()
    {
        SafeTensorsSource[] sources = SafeTensorsTests.Samples();
        SafeTensorsFolder.Write(_folder, sources, maxShardBytes: 40);
        Assert.False(File.Exists(Path.Combine(_folder, SafeTensorsFolder.SingleName)));
        using (SafeTensorsFolder set = SafeTensorsFolder.Open(_folder))
        {
            Assert.True(set.Files.Count > 2);
            AssertHolds(set, sources);
            using JsonDocument index = JsonDocument.Parse(File.ReadAllText(Path.Combine(_folder, SafeTensorsFolder.IndexName)));
            Assert.Equal(set.Entries.Sum(entry => entry.ByteCount), index.RootElement.GetProperty("metadata").GetProperty("total_size").GetInt64());
            Assert.Equal(sources.Length, index.RootElement.GetProperty("weight_map").EnumerateObject().Count());
        }
        SafeTensorsFolder.Write(_folder, sources, maxShardBytes: 60);   // fewer files: the old ones must go
        using (SafeTensorsFolder set = SafeTensorsFolder.Open(_folder))
        {
            AssertHolds(set, sources);
            Assert.Equal(set.Files.Count, Directory.GetFiles(_folder, "*.safetensors").Length);
        }
        SafeTensorsFolder.Write(_folder, sources);
        Assert.Equal([Path.Combine(_folder, SafeTensorsFolder.SingleName)], Directory.GetFiles(_folder));
        using (SafeTensorsFolder set = SafeTensorsFolder.Open(_folder)) AssertHolds(set, sources);
        using (SafeTensorsFolder set = SafeTensorsFolder.Open(Path.Combine(_folder, SafeTensorsFolder.SingleName))) AssertHolds(set, sources);
    }

    [Theory]
    [InlineData("[]", "not a JSON object")]
    [InlineData("", "not a JSON object")]
    [InlineData("{}", "\"weight_map\"")]
    [InlineData("""{"weight_map":{}}""", "lists no tensors")]
    [InlineData("""{"weight_map":{"a":"../x.safetensors"}}""", "not the name of a file in the same folder")]
    [InlineData("""{"weight_map":{"a":"/etc/passwd"}}""", "not the name of a file in the same folder")]
    [InlineData("""{"weight_map":{"a":1}}""", "not a text")]
    [InlineData("""{"weight_map":{"a":"x.safetensors","a":"x.safetensors"}}""", "twice")]
    [InlineData("""{"weight_map":{"a":"gone.safetensors"}}""", "is missing")]
    [InlineData("""{"weight_map":{"b":"x.safetensors"}}""", "does not have it")]
    [InlineData("version https://git-lfs.github.com/spec/v1\noid", "git lfs pull")]
    public void Refuses_a_bad_index(string json, string words)
    {
        SafeTensorsWriter.Write(Path.Combine(_folder, "x.safetensors"), [SafeTensorsSource.FromBytes("a", "U8", [1], new byte[1])]);
        File.WriteAllText(Path.Combine(_folder, SafeTensorsFolder.IndexName), json);
        Assert.Contains(words, Assert.Throws<UserException>(() => SafeTensorsFolder.Open(_folder)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("", "download complete")]
    [InlineData("model-00001-of-00002.safetensors", "no index")]
    [InlineData("adapter_model.safetensors", "name the file itself")]
    [InlineData("pytorch_model.bin", "PyTorch")]
    [InlineData("m.gguf", "m.gguf")]
    public void Says_what_a_folder_holds_instead(string name, string words)
    {
        if (name.Length > 0) File.WriteAllText(Path.Combine(_folder, name), "x");
        Assert.Contains(words, Assert.Throws<UserException>(() => SafeTensorsFolder.Open(_folder)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Says_that_a_path_is_missing_or_a_folder()
    {
        Assert.Contains("does not exist", Assert.Throws<UserException>(() => SafeTensorsFolder.Open(Path.Combine(_folder, "no", "where"))).Message, StringComparison.Ordinal);
        Assert.Contains("is a folder", Assert.Throws<UserException>(() => SafeTensorsFile.Open(_folder)).Message, StringComparison.Ordinal);
    }

    private static void AssertHolds(SafeTensorsFolder set, SafeTensorsSource[] sources)
    {
        Assert.Equal(sources.Length, set.Entries.Count);
        foreach (SafeTensorsSource source in sources)
        {
            using MemoryStream bytes = new();
            source.Write(bytes);
            Assert.Equal(bytes.ToArray(), set.Bytes(set.Find(source.Name)).ToArray());
        }
    }
}
