using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>GGUF files: what is read is what they hold, and what is wrong or not supported is one sentence.</summary>
public sealed class GgufTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public void Every_good_file_is_read_and_every_bad_one_refused_in_a_sentence()
    {
        string folder = Shared("data", "gguf");
        JsonArray cases = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "cases.json")))!.AsArray();
        Assert.True(cases.Count >= 16);
        foreach (JsonNode? each in cases)
        {
            string path = Path.Combine(folder, (string)each!["file"]!);
            if ((bool)each["valid"]!)
            {
                using GgufFile file = GgufFile.Open(path);
                Assert.NotEmpty(file.Tensors);
                foreach (GgufTensor tensor in file.Tensors)
                {
                    float[] values = new float[tensor.Count];
                    file.CopyTo(tensor, values);
                    Assert.All(values, value => Assert.True(float.IsFinite(value)));
                    Assert.Equal(File.ReadAllBytes(path).AsSpan((int)tensor.Offset, (int)tensor.ByteCount), System.Runtime.InteropServices.MemoryMarshal.AsBytes<float>(values));
                }
            }
            else
            {
                Sentence.Assert(Assert.Throws<UserException>(() => GgufFile.Open(path).Dispose()).Message, path);
            }
        }
    }

    [Theory]
    [InlineData("version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git-LFS"), InlineData("<!DOCTYPE html><html></html>", "web page")]
    [InlineData("PK\u0003\u0004zip", "zip"), InlineData("", "empty"), InlineData("hello", "GGUF")]
    public void A_file_of_another_kind_is_known_by_name(string content, string kind)
    {
        File.WriteAllText(_folder["model.gguf"], content);
        Sentence.Assert(Assert.Throws<UserException>(() => GgufFile.Open(_folder["model.gguf"])).Message, "model.gguf", kind);
        Sentence.Assert(Assert.Throws<UserException>(() => GgufFile.Open(_folder.Path)).Message, "folder");
        Sentence.Assert(Assert.Throws<UserException>(() => GgufFile.Open(_folder["nothing"])).Message, "nothing");
    }

    /// <summary>q and k rows lie in the file in pairs that rotate together; a folder has the halves of a head one after the other.</summary>
    [Theory, InlineData("llama", true), InlineData("qwen2", false)]
    public void Rows_of_queries_and_keys_come_back_in_a_folders_order(string architecture, bool isPaired)
    {
        const int Width = GgufModels.Width, Half = Width / GgufModels.Heads / 2;
        float[] folderRows = GgufModels.Random(20, Width * Width), fileRows = new float[Width * Width];
        // As the converter of llama.cpp does it: reshape [heads, 2, half, C], swap the middle two.
        for (int head = 0; head < GgufModels.Heads; head++)
            for (int part = 0; part < 2; part++)
                for (int i = 0; i < Half; i++)
                {
                    int from = head * 2 * Half + part * Half + i, to = isPaired ? head * 2 * Half + 2 * i + part : from;
                    folderRows.AsSpan(from * Width, Width).CopyTo(fileRows.AsSpan(to * Width));
                }
        using GgufCheckpoint checkpoint = Open(GgufModels.Llama(architecture, fileRows));
        float[] read = new float[Width * Width];
        checkpoint.CopyTo("model.layers.0.self_attn.q_proj.weight", read);
        Assert.Equal(folderRows, read);
        float[] part3 = new float[2 * Width];
        checkpoint.CopyTo("model.layers.0.self_attn.q_proj.weight", 3 * Width, part3);
        Assert.True(folderRows.AsSpan(3 * Width, 2 * Width).SequenceEqual(part3));
    }

    [Fact]
    public void A_file_loads_as_the_model_that_it_stands_for()
    {
        File.WriteAllBytes(_folder["m.gguf"], GgufModels.Llama().Build());
        using ModelFiles files = ModelFiles.Open(_folder["m.gguf"]);
        Assert.Equal(
            (GgufModels.Layers, GgufModels.Width, GgufModels.Heads, GgufModels.KvHeads, GgufModels.Hidden, GgufModels.Vocab, GgufModels.Context, true),
            (files.Transformer.Layers, files.Transformer.Width, files.Transformer.Heads, files.Transformer.KvHeads, files.Transformer.Hidden, files.Transformer.Vocab,
                files.Transformer.Context, files.Transformer.TiedHead));
        Assert.Equal([2], files.EndIds);
        Assert.Equal([1, 8], files.Tokenizer.Encode("ab"));          // BOS, ▁ab
        Assert.Equal([1, 3, 9, 4], files.Tokenizer.Encode("Aa"));    // a byte, and no merge across it
        using CpuDevice device = new(1);
        using LanguageModel model = files.LoadLanguageModel(Ops.For(device));
        Assert.Equal(DType.F32, model.Weights.MatrixType);
    }

    [Theory]
    [InlineData("llama.rope.scaling.type", "yarn"), InlineData("llama.expert_count", 8u), InlineData("llama.attention.sliding_window", 4u)]
    [InlineData("llama.attn_logit_softcapping", 30f), InlineData("llama.rope.dimension_count", 2u), InlineData("llama.attention.value_length", 3u)]
    [InlineData("llama.rope.scaling.factor", 2f)]
    public void A_feature_that_is_not_supported_is_refused_by_name(string key, object value)
    {
        GgufBuilder file = GgufModels.Llama();
        _ = value switch { string text => file.Text(key, text), uint number => file.Integer(key, number), _ => file.Real(key, (float)value) };
        string name = key switch { "llama.expert_count" => "experts", "llama.attention.sliding_window" => "sliding window", "llama.attention.value_length" => "sizes", _ => key };
        Sentence.Assert(Refusal(file), "m.gguf", name);
    }

    [Fact]
    public void Unknown_architectures_tensors_and_tokenizers_are_refused_by_name()
    {
        Sentence.Assert(Refusal(new GgufBuilder().Text("general.architecture", "mamba").Floats("w", [1], 1)), "mamba");
        Sentence.Assert(Refusal(new GgufBuilder().Integer("x", 1).Floats("w", [1], 1)), "general.architecture");
        Sentence.Assert(Refusal(GgufModels.Llama().Floats("blk.0.ffn_gate_inp.weight", [2], 1, 2)), "ffn_gate_inp");
        Sentence.Assert(Refusal(new GgufBuilder().Text("general.architecture", "llama").Floats("w", [1], 1)), "llama.");

        GgufBuilder bytePairs = new GgufBuilder().Text("general.architecture", "x").Text("tokenizer.ggml.model", "gpt2")
            .Texts("tokenizer.ggml.tokens", "a").Texts("tokenizer.ggml.merges").Text("tokenizer.ggml.pre", "tekken").Floats("w", [1], 1);
        Sentence.Assert(TokenizerRefusal(bytePairs), "tekken");
        GgufBuilder shortScores = new GgufBuilder().Text("tokenizer.ggml.model", "llama").Texts("tokenizer.ggml.tokens", "a", "b").Reals("tokenizer.ggml.scores", 1).Floats("w", [1], 1);
        Sentence.Assert(TokenizerRefusal(shortScores), "scores", "2 tokens");
        GgufBuilder farId = new GgufBuilder().Text("tokenizer.ggml.model", "llama").Texts("tokenizer.ggml.tokens", "a").Reals("tokenizer.ggml.scores", 1)
            .Integer("tokenizer.ggml.bos_token_id", 7).Floats("w", [1], 1);
        Sentence.Assert(TokenizerRefusal(farId), "bos_token_id", "7");
    }

    [Fact]
    public void A_type_that_cannot_be_read_is_listed_and_refused_by_name_when_its_values_are_asked_for()
    {
        File.WriteAllBytes(_folder["iq.gguf"], new GgufBuilder().Text("general.architecture", "llama").Tensor("w", 23, [1, 256], new byte[136]).Build());
        using GgufFile file = GgufFile.Open(_folder["iq.gguf"]);
        Assert.Equal("IQ4_XS", file.Tensors[0].Type);
        Sentence.Assert(Assert.Throws<UserException>(() => file.CopyTo(file.Tensors[0], new float[256])).Message, "IQ4_XS", "'w'");
    }

    [Theory, InlineData(8f, 8192), InlineData(32f, 8192), InlineData(8f, 64)]
    public void Scaling_of_Llama_3_1_is_recovered_from_its_divisors(float factor, int context)
    {
        const int HeadSize = GgufModels.Width / GgufModels.Heads;
        float[] plain = RopeFrequencies.Compute(HeadSize, 10000, null), scaled = RopeFrequencies.Compute(HeadSize, 10000, new RopeScaling(factor, 1, 4, context));
        float[] divisors = [.. plain.Zip(scaled, (a, b) => a / b)];
        using GgufCheckpoint checkpoint = Open(GgufModels.Llama().Floats("rope_freqs.weight", [HeadSize / 2], divisors));
        TransformerConfig config = ModelFamily.ReadConfig(checkpoint.Config, "config");
        if (divisors.All(divisor => divisor == 1)) Assert.Null(config.RopeScaling);
        else Assert.Equal(scaled, RopeFrequencies.Compute(HeadSize, 10000, config.RopeScaling));
        Sentence.Assert(Refusal(GgufModels.Llama().Floats("rope_freqs.weight", [HeadSize / 2], 1.5f, 2.5f)), "rope_freqs");
        Sentence.Assert(Refusal(GgufModels.Llama().Floats("rope_freqs.weight", [1], 1)), "rope_freqs");
    }

    /// <summary>The chat model's file against its folder's own documents.</summary>
    [Fact]
    public void A_chat_models_file_gives_its_folders_config_tokenizer_and_chats()
    {
        string folder = Shared("models", "smollm2-135m-instruct");
        using ModelFiles files = ModelFiles.Open(Directory.GetFiles(folder, "*.gguf")[0]);
        Assert.Equal(ModelFamily.ReadConfig(JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "config.json")))!.AsObject(), "config"), files.Transformer);
        Tokenizer own = TokenizerLoader.FromFolder(folder);
        Assert.Equal(own.Fingerprint, files.Tokenizer.Fingerprint);
        AssertTokenizerCases(folder, files.Tokenizer);
        JsonArray chats = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "chat-cases.json")))!.AsArray();
        Assert.NotEmpty(chats);
        foreach (JsonNode? chat in chats)
        {
            string text = files.Chat!.Render(ChatMessage.Read(chat!["messages"]!.AsArray(), "case"), (bool)chat["generation_prompt"]!);
            Assert.Equal((string)chat["text"]!, text);
            Assert.Equal(chat["ids"]!.AsArray().Select(id => (int)id!), files.Tokenizer.Encode(text, special: false));
        }
    }

    /// <summary>SentencePiece scores give the merges of the tokenizer.json that they come from.</summary>
    [Fact]
    public void Merges_are_recovered_from_scores()
    {
        string folder = Shared("models", "stories260k");
        using GgufCheckpoint checkpoint = GgufCheckpoint.Open(Path.Combine(Shared("models", "random-gguf"), "every-type.gguf"));
        Tokenizer fromFile = TokenizerLoader.FromJson(checkpoint.TokenizerJson, "gguf"), own = TokenizerLoader.FromFolder(folder);
        AssertTokenizerCases(folder, fromFile);
        Assert.Equal(own.Fingerprint, fromFile.Fingerprint);
    }

    public void Dispose() => _folder.Dispose();

    private static void AssertTokenizerCases(string folder, Tokenizer tokenizer)
    {
        JsonNode document = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "tokenizer-cases.json")))!;
        JsonArray cases = (document as JsonArray) ?? document["cases"]!.AsArray();
        Assert.True(cases.Count > 30);
        foreach (JsonNode? each in cases) Assert.Equal(each!["ids"]!.AsArray().Select(id => (int)id!), tokenizer.Encode((string)each["text"]!));
    }

    private static string Shared(params string[] names)
    {
        string folder = Path.Combine([Repository.Root, "..", "shared", .. names]);
        if (!Directory.Exists(folder)) Assert.Skip($"{string.Join('/', names)} is not in ../shared.");
        return folder;
    }

    private GgufCheckpoint Open(GgufBuilder file)
    {
        File.WriteAllBytes(_folder["m.gguf"], file.Build());
        return GgufCheckpoint.Open(_folder["m.gguf"]);
    }

    private string Refusal(GgufBuilder file) => Assert.Throws<UserException>(() => Open(file).Dispose()).Message;

    private string TokenizerRefusal(GgufBuilder file)
    {
        File.WriteAllBytes(_folder["t.gguf"], file.Build());
        using GgufFile opened = GgufFile.Open(_folder["t.gguf"]);
        return Assert.Throws<UserException>(() => GgufTokenizer.Document(opened)).Message;
    }
}
