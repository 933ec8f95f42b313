using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;
using QSharp.Tests.Model;

using Xunit;

namespace QSharp.Tests.Cli;

/// <summary>A GGUF file as a Hugging Face folder: the same model, whole or not at all.</summary>
public sealed class ConvertTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public async Task A_converted_model_is_the_files_own()
    {
        string file = Path.Combine(Repository.Root, "..", "shared", "models", "random-gguf", "every-type.gguf");
        Assert.SkipUnless(File.Exists(file), "random-gguf is not in ../shared/models.");
        CliResult result = await Convert(file, "model", "--json");
        JsonObject report = JsonNode.Parse(result.Out)!.AsObject();
        Assert.Equal(1_443_072, (long)report["parameters"]!);
        Assert.Equal(["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"], Names("model"));

        using CpuDevice device = new(2);
        using ModelFiles original = ModelFiles.Open(file), converted = ModelFiles.Open(_folder["model"]);
        Assert.Equal(original.Transformer, converted.Transformer);
        Assert.Equal(original.Tokenizer.Fingerprint, converted.Tokenizer.Fingerprint);
        Assert.Equal(original.EndIds, converted.EndIds);
        Assert.All(converted.Tensors.Tensors, tensor => Assert.Equal("BF16", tensor.DType));
        using LanguageModel a = original.LoadLanguageModel(Ops.For(device)), b = converted.LoadLanguageModel(Ops.For(device));
        foreach (((string name, Tensor first, _), (_, Tensor second, _)) in a.Weights.Named.Zip(b.Weights.Named))
            Assert.True(TensorValues.Read(first).AsSpan().SequenceEqual(TensorValues.Read(second)), name);

        // The same file gives the same bytes.
        await Convert(file, "again");
        foreach (string name in Names("model")) Assert.Equal(File.ReadAllBytes(_folder[$"model/{name}"]), File.ReadAllBytes(_folder[$"again/{name}"]));
    }

    [Fact]
    public async Task A_chat_model_keeps_its_template_and_its_fingerprint()
    {
        string folder = Path.Combine(Repository.Root, "..", "shared", "models", "smollm2-135m-instruct");
        Assert.SkipUnless(Directory.Exists(folder), "smollm2-135m-instruct is not in ../shared/models.");
        string file = Directory.GetFiles(folder, "*.gguf")[0];
        await Convert(file, "model");
        using CpuDevice device = new(2);
        using ModelFiles original = ModelFiles.Open(file), converted = ModelFiles.Open(_folder["model"]);
        ChatMessage[] chat = [new("user", "Hi")];
        Assert.Equal(TextPrompts.FromMessages(chat, original), TextPrompts.FromMessages(chat, converted));
        using LanguageModel a = original.LoadLanguageModel(Ops.For(device)), b = converted.LoadLanguageModel(Ops.For(device));
        Assert.Equal(DType.BF16, b.Weights.MatrixType);
        Assert.Equal(ModelFolder.Fingerprint(a), ModelFolder.Fingerprint(b));
    }

    [Fact]
    public async Task What_is_there_is_left_alone_unless_it_is_a_model_and_asked_for()
    {
        string file = _folder["m.gguf"];
        File.WriteAllBytes(file, GgufModels.Llama().Build());
        Directory.CreateDirectory(_folder["full"]);
        File.WriteAllText(_folder["full/notes.txt"], "mine");
        await Refused([file, _folder["full"]], "full", "--overwrite");
        await Refused([file, _folder["full"], "--overwrite"], "full");
        Assert.Equal("mine", File.ReadAllText(_folder["full/notes.txt"]));
        await Refused([file, file], "m.gguf");

        await Convert(file, "model");
        File.WriteAllText(_folder["model/config.json"], "{}");
        await Refused([file, _folder["model"]], "model");
        await Convert(file, "model", "--overwrite");
        using ModelFiles converted = ModelFiles.Open(_folder["model"]);
        Assert.Equal(GgufModels.Width, converted.Transformer.Width);

        // A file that cannot be converted leaves nothing behind.
        File.WriteAllText(_folder["bad.gguf"], "GGUF");
        await Refused([_folder["bad.gguf"], _folder["new"]], "bad.gguf");
        File.WriteAllBytes(_folder["type.gguf"], GgufModels.Llama().Tensor("output.weight", 23, [1, 256], new byte[136]).Build());
        await Refused([_folder["type.gguf"], _folder["new"]], "IQ4_XS");
        Assert.DoesNotContain(_folder.Entries(), entry => entry.StartsWith("new", StringComparison.Ordinal));
    }

    public void Dispose() => _folder.Dispose();

    private string[] Names(string folder) => [.. Directory.GetFiles(_folder[folder]).Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal)];

    private async Task<CliResult> Convert(string file, string folder, params string[] args)
    {
        CliResult result = await CliRun.Run(_folder.Path, ["convert", file, folder, .. args]);
        Assert.True(result.ExitCode == 0, result.Error);
        return result;
    }

    private async Task Refused(string[] args, params string[] names)
    {
        CliResult result = await CliRun.Run(_folder.Path, ["convert", .. args, "--quiet"]);
        Assert.Equal((2, ""), (result.ExitCode, result.Out));
        Sentence.Assert(result.Error.TrimEnd('\n'), names);
    }
}
