using System.Security.Cryptography;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>A GGUF file written out as the folder that it stands for.</summary>
public sealed class GgufConverterTests : IDisposable
{
    private const string NoFolder = "There is no shared folder beside the repository.";

    private static readonly string[] _files = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];

    private readonly TemporaryFolder _folder = new();

    [Theory]
    [InlineData("random-gguf")]             // every type of blocks
    [InlineData("smollm2-135m-instruct")]
    public void Values_are_those_of_the_file_rounded_to_BF16(string name)
    {
        if (GgufTests.Shared("models", name) is not { } shared)
        {
            Assert.Skip(NoFolder);
            return;
        }
        using GgufCheckpoint model = GgufCheckpoint.Open(Directory.GetFiles(shared, "*.gguf").Single());
        ConvertedModel made = GgufConverter.Write(model, _folder["out"]);
        Assert.Equal(_files.Select(file => Path.Combine("out", file)).Prepend("out"), _folder.Entries());
        Assert.Equal((model.Tensors.Count, model.Tensors.Sum(tensor => tensor.Count)), (made.Tensors, made.Parameters));
        Assert.Equal(_files.Sum(file => new FileInfo(_folder["out", file]).Length), made.Bytes);
        using SafeTensorsFolder written = SafeTensorsFolder.Open(_folder["out"]);
        Assert.Equal(model.Tensors.Select(tensor => tensor.Name).Order(StringComparer.Ordinal), written.Entries.Select(entry => entry.Name).Order(StringComparer.Ordinal));
        foreach (TensorEntry tensor in model.Tensors)
        {
            SafeTensorsEntry entry = written.Find(tensor.Name);
            Assert.Equal(("BF16", string.Join(',', tensor.Shape)), (entry.DType, string.Join(',', entry.Shape)));
            float[] expected = new float[tensor.Count], values = new float[tensor.Count];
            model.CopyTo(tensor.Name, expected);
            foreach (ref float value in expected.AsSpan()) value = BFloat16.Widen(BFloat16.Round(value));
            written.CopyTo(entry, values);
            Assert.True(expected.AsSpan().SequenceEqual(values), tensor.Name);
        }
    }

    [Theory]
    [InlineData("random-gguf")]
    [InlineData("smollm2-135m-instruct")]
    public void The_folder_is_the_same_model_as_the_file(string name)
    {
        if (GgufTests.Shared("models", name) is not { } shared)
        {
            Assert.Skip(NoFolder);
            return;
        }
        string path = Directory.GetFiles(shared, "*.gguf").Single();
        using ModelFiles file = ModelFiles.Open(path);
        using (GgufCheckpoint model = GgufCheckpoint.Open(path)) GgufConverter.Write(model, _folder["out"]);
        using ModelFiles folder = ModelFiles.Open(_folder["out"]);
        Assert.Equal(file.Transformer, folder.Transformer);
        Assert.Equal(file.EndIds, folder.EndIds);
        Assert.Equal(file.Tokenizer.Fingerprint, folder.Tokenizer.Fingerprint);
        using CpuDevice device = new(1);
        using LanguageModel fromFile = file.LoadLanguageModel(Ops.For(device)), fromFolder = folder.LoadLanguageModel(Ops.For(device));
        Assert.Equal(ModelFolder.Fingerprint(fromFile), ModelFolder.Fingerprint(fromFolder));
        JsonNode golden = JsonNode.Parse(File.ReadAllText(Path.Combine(shared, "golden.json")))![0]!;
        int[] ids = TestTokenizers.Ints(golden["ids"]!);
        Assert.Equal(ids, folder.Tokenizer.Encode((string)golden["text"]!));
        using Scorer scorer = new(fromFolder, top: 10);
        Assert.Equal((double)golden["sequence_logprob"]!, scorer.Score(ids).Total, 1e-3);
    }

    [Fact]
    public void A_BF16_folder_comes_back_byte_for_byte()
    {
        if (GgufTests.Shared("models", "random-qwen3") is not { } original)
        {
            Assert.Skip(NoFolder);
            return;
        }
        using GgufCheckpoint model = GgufFromFolder.Make(original, "qwen3", "qwen2").OpenModel(_folder);
        GgufConverter.Write(model, _folder["out"]);
        Assert.Equal(File.ReadAllBytes(Path.Combine(original, "model.safetensors")), File.ReadAllBytes(_folder["out", "model.safetensors"]));
    }

    [Fact]
    public void The_same_file_gives_the_same_bytes_and_old_ones_are_replaced_whole()
    {
        using GgufCheckpoint model = GgufBuilder.TinyLlama().Set("tokenizer.chat_template", "{{ messages }}").OpenModel(_folder);
        Directory.CreateDirectory(_folder["a"]);   // an empty folder is free
        GgufConverter.Write(model, _folder["a"] + Path.DirectorySeparatorChar);
        GgufConverter.Write(model, _folder["b"], overwrite: true);
        File.WriteAllText(_folder["b", "model-00001-of-00002.safetensors"], "old");
        GgufConverter.Write(model, _folder["b"], overwrite: true);
        Assert.Equal(_files, Directory.GetFiles(_folder["b"]).Select(file => Path.GetFileName(file)).Order(StringComparer.Ordinal));
        foreach (string file in _files) Assert.Equal(File.ReadAllBytes(_folder["a", file]), File.ReadAllBytes(_folder["b", file]));
        Assert.Equal(["a", "b", "made.gguf"], Directory.GetFileSystemEntries(_folder.Path).Select(entry => Path.GetFileName(entry)).Order(StringComparer.Ordinal));
        Assert.Equal("bfloat16", (string)JsonNode.Parse(File.ReadAllText(_folder["a", "config.json"]))!["torch_dtype"]!);
        Assert.Equal("{{ messages }}", (string)JsonNode.Parse(File.ReadAllText(_folder["a", "tokenizer_config.json"]))!["chat_template"]!);
    }

    [Fact]
    public void Large_models_come_in_several_files()
    {
        using GgufCheckpoint model = GgufBuilder.TinyLlama().OpenModel(_folder);
        GgufConverter.Write(model, _folder["one"]);
        GgufConverter.Write(model, _folder["out"], overwrite: false, new SilentProgress(), CancellationToken.None, mostShardBytes: 200);
        using SafeTensorsFolder one = SafeTensorsFolder.Open(_folder["one"]), shards = SafeTensorsFolder.Open(_folder["out"]);
        Assert.True(File.Exists(_folder["out", SafeTensorsFolder.IndexName]) && shards.Files.Count > 2);
        Assert.Equal(one.Entries.Count, shards.Entries.Count);
        foreach (SafeTensorsEntry entry in one.Entries) Assert.True(one.Bytes(entry).SequenceEqual(shards.Bytes(shards.Find(entry.Name))));
        GgufConverter.Write(model, _folder["out"], overwrite: true);
        Assert.Equal(_files, Directory.GetFiles(_folder["out"]).Select(file => Path.GetFileName(file)).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void What_cannot_be_converted_leaves_no_folder()
    {
        Refused(GgufBuilder.TinyLlama().WithoutTensor("output_norm.weight").Tensor("output_norm.weight", 24, [8], new byte[8]), "I8", "'output_norm.weight'");
        Refused(GgufBuilder.TinyLlama().Set("tokenizer.ggml.model", "bert"), "'bert'");
        Refused(GgufBuilder.TinyLlama().Set("llama.feed_forward_length", 0u), "is 0");
        using GgufCheckpoint model = GgufBuilder.TinyLlama().OpenModel(_folder);
        using CancellationTokenSource stop = new();
        stop.Cancel();
        Assert.Throws<OperationCanceledException>(() => GgufConverter.Write(model, _folder["out"], false, new SilentProgress(), stop.Token));
        Assert.Equal(["made.gguf"], _folder.Entries());
    }

    [Fact]
    public void A_folder_with_anything_else_in_it_is_left_alone()
    {
        using GgufCheckpoint model = GgufBuilder.TinyLlama().OpenModel(_folder);
        GgufConverter.Write(model, _folder["out"]);
        File.WriteAllText(_folder["out", "config.json"], "mine");
        Sentence.Assert(Assert.Throws<UserException>(() => GgufConverter.Write(model, _folder["out"])).Message, _folder["out"], "--overwrite");
        File.WriteAllText(_folder["out", "notes.txt"], "mine");
        Sentence.Assert(Assert.Throws<UserException>(() => GgufConverter.Write(model, _folder["out"], overwrite: true)).Message, "\"notes.txt\"");
        Assert.Equal("mine", File.ReadAllText(_folder["out", "config.json"]));
        // The file's own folder, which holds the file.
        Sentence.Assert(Assert.Throws<UserException>(() => GgufConverter.Write(model, _folder.Path, overwrite: true)).Message, "\"made.gguf\"");
        Sentence.Assert(Assert.Throws<UserException>(() => GgufConverter.Write(model, model.Path, overwrite: true)).Message, model.Path, "is a file");
    }

    [Theory]
    [InlineData("random-mistral", "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")]
    [InlineData("story", "config.json", "model.safetensors")]
    public void A_model_that_no_conversion_made_is_not_replaced(string name, params string[] files)
    {
        if (GgufTests.Shared("models", name) is not { } shared)
        {
            Assert.Skip(NoFolder);
            return;
        }
        Directory.CreateDirectory(_folder["out"]);
        foreach (string file in files) File.WriteAllBytes(_folder["out", file], File.ReadAllBytes(Path.Combine(shared, file)));
        KeptAsItIs();
        string[] configs =
            ["mine", "[]", "{}", """{"qsharp":{"head":"q"}}""", """{"converted_from":["gguf"]}""", """{"converted_from":1}"""];
        foreach (string config in configs)
        {
            File.WriteAllText(_folder["out", "config.json"], config);
            KeptAsItIs();
        }
        File.Delete(_folder["out", "config.json"]);
        KeptAsItIs();
    }

    [Theory, InlineData("model-lora.safetensors"), InlineData("model.safetensors.bak"), InlineData("model-00001-of-00002.safetensors/mine")]
    public void Files_beside_a_converted_model_are_not_lost(string other)
    {
        using (GgufCheckpoint model = GgufBuilder.TinyLlama().OpenModel(_folder)) GgufConverter.Write(model, _folder["out"]);
        Directory.CreateDirectory(Path.GetDirectoryName(_folder["out", other])!);
        File.WriteAllText(_folder["out", other], "mine");
        KeptAsItIs();
    }

    public void Dispose() => _folder.Dispose();

    private void KeptAsItIs()
    {
        string[] before = Contents();
        using GgufCheckpoint model = GgufBuilder.TinyLlama().OpenModel(_folder);
        UserException refusal = Assert.Throws<UserException>(() => GgufConverter.Write(model, _folder["out"], overwrite: true));
        Sentence.Assert(refusal.Message, _folder["out"], "--overwrite");
        Assert.Equal(before, Contents());
    }

    private string[] Contents() =>
    [
        .. Directory.GetFiles(_folder["out"], "*", SearchOption.AllDirectories).Order()
            .Select(path => path + Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(path)))),
    ];

    private void Refused(GgufBuilder file, params ReadOnlySpan<string> words)
    {
        using GgufCheckpoint model = file.OpenModel(_folder);
        string message = Assert.Throws<UserException>(() => GgufConverter.Write(model, _folder["out"])).Message;
        Sentence.Assert(message, [model.Path, .. words]);
        Assert.Equal(["made.gguf"], _folder.Entries());
    }
}
