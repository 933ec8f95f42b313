using System.Text.Json.Nodes;

using QSharp.Model;
using QSharp.Tests.Model;

using Xunit;

namespace QSharp.Tests.Cli;

/// <summary>convert as a user runs it.</summary>
public sealed class ConvertVerbTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public async Task A_file_becomes_a_folder_once_and_again_only_on_demand()
    {
        string file = GgufBuilder.TinyLlama().Save(_folder);
        CliResult made = await CliRun.Run(_folder.Path, "convert", file, "out", "--json", "--quiet");
        Assert.Equal((0, ""), (made.ExitCode, made.Error));
        JsonObject report = JsonNode.Parse(made.Out)!.AsObject();
        Assert.Equal(["path", "tensors", "parameters", "bytes"], report.Select(entry => entry.Key));
        Assert.Equal(("out", 11), ((string)report["path"]!, (int)report["tensors"]!));
        Assert.Equal(Directory.GetFiles(_folder["out"]).Sum(path => new FileInfo(path).Length), (long)report["bytes"]!);

        CliResult again = await CliRun.Run(_folder.Path, "convert", file, "out");
        again.Refused("out", "--overwrite");

        CliResult replaced = await CliRun.Run(_folder.Path, "convert", file, "out", "--overwrite");
        replaced.Done();
        Assert.Contains("11 tensors", replaced.Out);
        Assert.Contains("convert: done", replaced.Error);

        // The folder is a model for the other verbs.
        string text = "abab";
        CliResult fromFile = await CliRun.Run(_folder.Path, "score", "--model", file, "--text", text, "--weights", "f32", "--json");
        CliResult fromFolder = await CliRun.Run(_folder.Path, "score", "--model", "out", "--text", text, "--weights", "f32", "--json");
        fromFile.Done();
        Assert.Equal(fromFile.Out, fromFolder.Out);
    }

    [Fact]
    public async Task What_is_wrong_is_one_sentence()
    {
        foreach ((string[] args, string words) in ((string[], string)[])[(["nowhere.gguf", "out"], "nowhere.gguf"), ([".", "out"], "is a folder"), (["a.gguf"], "DIR")])
        {
            CliResult refused = await CliRun.Run(_folder.Path, ["convert", .. args]);
            Assert.Equal((2, ""), (refused.ExitCode, refused.Out));
            Assert.Contains(words, refused.Error.Split('\n')[0]);
        }
        Assert.Empty(_folder.Entries());
        SafeTensorsWriter.Write(_folder["model.safetensors"], [SafeTensorsSource.FromFloats("w", [1], new float[1])]);
        CliResult other = await CliRun.Run(_folder.Path, "convert", "model.safetensors", "out");
        other.Refused("model.safetensors", "safetensors file");
        Assert.Equal(["model.safetensors"], _folder.Entries());
    }

    [Theory]
    [InlineData(64, "")]          // not even the first
    [InlineData(128, "out\n")]    // an earlier conversion stays
    public async Task A_full_disk_is_one_sentence_and_leaves_nothing_behind(int kibibytes, string left)
    {
        using TemporaryFolder disk = new();
        string file = GgufBuilder.TinyLlama().WithoutTensor("token_embd.weight").Numbered("token_embd.weight", 8192, 8).Save(_folder);
        string small = GgufBuilder.TinyLlama().Save(disk);
        string convert = $"dotnet '{Path.Combine(AppContext.BaseDirectory, "qsharp.dll")}' convert --quiet";
        File.Move(small, _folder["small.gguf"]);
        string script = $"mount -t tmpfs -o size={kibibytes}k none '{disk.Path}' || exit 99\ncd '{disk.Path}'\n"
            + (left.Length > 0 ? $"{convert} '{_folder["small.gguf"]}' out >/dev/null || exit 98\n" : "")
            + $"{convert} '{file}' out --overwrite\ncode=$?\nls\nexit $code";
        if (!File.Exists("/usr/bin/unshare")) Assert.Skip("There is no unshare here.");
        CliResult result = await CliRun.Other("/usr/bin/unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script);
        Assert.SkipWhen(result.Error.Contains("unshare") || result.ExitCode == 99, $"No file system can be mounted here: {result.Error}");
        Assert.Equal((2, left), (result.ExitCode, result.Out));
        Sentence.Assert(result.Error.TrimEnd('\n'), "out", "No space left");
    }

    public void Dispose() => _folder.Dispose();
}
