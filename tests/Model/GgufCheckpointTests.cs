using System.Text.Json;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>A GGUF file is the Hugging Face folder that it was made of: the same config, tokenizer and values.</summary>
public sealed class GgufCheckpointTests : IDisposable
{
    private const string NoFolder = "There is no shared folder beside the repository.";

    private readonly TemporaryFolder _folder = new();

    [Theory]
    [InlineData("random-llama3", "llama", "llama-bpe")]     // rotary order, scaled frequencies, BOS, untied
    [InlineData("random-mistral", "llama", null)]           // heads × head size is not the width
    [InlineData("random-qwen2", "qwen2", "qwen2")]          // biases; rows beyond the tokenizer's tokens
    [InlineData("random-qwen3", "qwen3", "qwen2")]          // norms of queries and keys
    [InlineData("random-gpt2", "gpt2", "gpt-2")]            // products stored the other way round
    public void A_folder_comes_back_from_the_file_that_llama_cpp_makes_of_it(string name, string architecture, string? pre)
    {
        if (GgufTests.Shared("models", name) is not { } folder)
        {
            Assert.Skip(NoFolder);
            return;
        }
        using GgufCheckpoint made = GgufFromFolder.Make(folder, architecture, pre).OpenModel(_folder);
        using ModelFiles original = ModelFiles.Open(folder);
        Assert.Equal(original.Transformer, ModelFamily.ReadConfig(made.Config, made.Path));
        Assert.Equal(original.Tensors.Tensors.Select(tensor => tensor.Name).Order(StringComparer.Ordinal), made.Tensors.Select(tensor => tensor.Name).Order(StringComparer.Ordinal));
        foreach (TensorEntry tensor in original.Tensors.Tensors)
        {
            Assert.Contains(made.Tensors, other => other.Name == tensor.Name);
            Assert.Equal(tensor.Shape, made.Tensors.Single(other => other.Name == tensor.Name).Shape);
            float[] expected = new float[tensor.Count], values = new float[tensor.Count], middle = new float[tensor.Shape[^1]];
            original.Tensors.CopyTo(tensor.Name, 0, expected);
            made.CopyTo(tensor.Name, values);
            Assert.True(expected.AsSpan().SequenceEqual(values), tensor.Name);
            long at = tensor.Count / 2 / middle.Length * middle.Length;
            made.CopyTo(tensor.Name, at, middle);
            Assert.True(expected.AsSpan((int)at, middle.Length).SequenceEqual(middle), $"{tensor.Name}, a row");
        }
        if (pre is not null) Assert.Equal(original.Tokenizer.Fingerprint, TokenizerLoader.FromJson(made.TokenizerJson, made.Path).Fingerprint);
    }

    [Theory]
    [InlineData("random-gguf", "stories260k")]
    [InlineData("smollm2-135m-instruct", "smollm2-135m-instruct")]
    public void The_tokenizer_is_that_of_the_folder(string name, string folder)
    {
        if (GgufTests.Shared("models", name) is not { } path || GgufTests.Shared("models", folder, "tokenizer.json") is not { } original)
        {
            Assert.Skip(NoFolder);
            return;
        }
        using GgufCheckpoint model = GgufCheckpoint.Open(Directory.GetFiles(path, "*.gguf").Single());
        JsonObject made = model.TokenizerJson, expected = JsonNode.Parse(File.ReadAllText(original))!.AsObject();
        if (name != "random-gguf") expected["decoder"]!["add_prefix_space"] = false;   // the byte decoder does not look at it
        foreach (string part in (string[])["added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder"])
            Assert.True(JsonNode.DeepEquals(expected[part], made[part]), $"{part}: {made[part]?.ToJsonString()}");
        Assert.Equal(Merges(expected), Merges(made));
        Assert.True(JsonNode.DeepEquals(expected["model"]!["vocab"], made["model"]!["vocab"]));
        foreach ((string key, JsonNode? value) in expected["model"]!.AsObject())
            if (key is not ("vocab" or "merges")) Assert.True(JsonNode.DeepEquals(value, made["model"]![key]), key);
        Assert.Equal(TokenizerLoader.FromFolder(Path.GetDirectoryName(original)!).Fingerprint, TokenizerLoader.FromJson(made, "made").Fingerprint);

        static string[] Merges(JsonObject document) => [.. document["model"]!["merges"]!.AsArray().Select(merge => (string)merge!)];
    }

    [Fact]
    public void The_chat_model_is_described_as_its_folder_describes_it()
    {
        if (GgufTests.Shared("models", "smollm2-135m-instruct") is not { } folder)
        {
            Assert.Skip(NoFolder);
            return;
        }
        using GgufCheckpoint model = GgufCheckpoint.Open(Directory.GetFiles(folder, "*.gguf").Single());
        JsonObject config = Json("config.json"), tokenizer = Json("tokenizer_config.json");
        string[] ours = ["head_dim"];   // the published config leaves it to be computed
        foreach ((string key, JsonNode? value) in model.Config)
            if (!ours.Contains(key)) Assert.True(JsonNode.DeepEquals(config[key], value), $"{key}: {value?.ToJsonString()}");
        Assert.True(JsonNode.DeepEquals(Json("generation_config.json"), model.GenerationConfig));
        foreach (string key in (string[])["bos_token", "eos_token", "pad_token", "unk_token", "chat_template"])
            Assert.True(JsonNode.DeepEquals(tokenizer[key], model.TokenizerConfig[key]), key);
        Assert.Equal((string)tokenizer["chat_template"]!, model.ChatTemplate);
        Assert.Equal(134_515_008, model.Tensors.Sum(tensor => tensor.Count));
        Assert.Equal(("Q8_0", "Q4_1"), (model.Tensors.Single(tensor => tensor.Name == "model.embed_tokens.weight").DType, model.Tensors.First(tensor => tensor.Name.EndsWith("q_proj.weight", StringComparison.Ordinal)).DType));

        JsonObject Json(string name) => JsonNode.Parse(File.ReadAllText(Path.Combine(folder, name)))!.AsObject();
    }

    [Theory]
    [InlineData(8f, 1f, 4f, 8192, 500000f, 128)]
    [InlineData(32f, 1f, 4f, 8192, 500000f, 64)]
    [InlineData(8f, 1f, 4f, 64, 10000f, 16)]
    public void Scaled_frequencies_are_recovered_from_their_divisors(float factor, float low, float high, int context, float theta, int headSize)
    {
        JsonObject scaling = JsonNode.Parse(JsonSerializer.Serialize(new { factor, low_freq_factor = low, high_freq_factor = high, original_max_position_embeddings = context }))!.AsObject();
        float[] divisors = GgufFromFolder.Divisors(scaling, theta, headSize);
        GgufBuilder file = GgufBuilder.TinyLlama().Set("llama.attention.key_length", (uint)headSize).Set("llama.rope.freq_base", theta).Floats("rope_freqs.weight", [headSize / 2], divisors);
        using (GgufCheckpoint model = file.OpenModel(_folder))
        {
            JsonObject read = model.Config["rope_scaling"]!.AsObject();
            Assert.Equal("llama3", (string)read["rope_type"]!);
            foreach ((string key, JsonNode? value) in scaling) Assert.True(JsonNode.DeepEquals(value, read[key]), $"{key}: {read[key]}");
        }
        Array.Fill(divisors, 1);
        using (GgufCheckpoint model = file.WithoutTensor("rope_freqs.weight").Floats("rope_freqs.weight", [headSize / 2], divisors).OpenModel(_folder))
            Assert.Null(model.Config["rope_scaling"]);
        divisors[^1] = 3;   // one frequency alone
        divisors[0] = 2;
        Refused(file.WithoutTensor("rope_freqs.weight").Floats("rope_freqs.weight", [headSize / 2], divisors), "rope_freqs.weight", "Llama 3.1");
        Refused(file.WithoutTensor("rope_freqs.weight").Floats("rope_freqs.weight", [3], [1, 2, 3]), "rope_freqs.weight", "3 entries");
    }

    [Fact]
    public void Features_that_would_be_computed_wrongly_are_refused_by_name()
    {
        (string Key, object Value, string Words)[] features =
        [
            ("general.architecture", "gemma2", "gemma2"), ("llama.rope.scaling.type", "yarn", "yarn"), ("llama.rope.scaling.type", "linear", "linear"),
            ("llama.rope.scale_linear", 2f, "rope.scale_linear"), ("llama.expert_count", 8u, "8 experts"), ("llama.attention.sliding_window", 4u, "sliding window of 4"),
            ("llama.attn_logit_softcapping", 50f, "attn_logit_softcapping"), ("llama.final_logit_softcapping", 30f, "final_logit_softcapping"),
            ("llama.attention.scale", 0.1f, "attention.scale"), ("llama.rope.dimension_count", 2u, "rope.dimension_count is 2"), ("llama.attention.value_length", 2u, "4 and 2"),
            ("llama.attention.head_count", 0u, "head_count is 0"), ("llama.attention.head_count", (uint[])[2, 1], "llama.attention.head_count"), ("split.count", (ushort)3, "3 parts"),
        ];
        foreach ((string key, object value, string words) in features) Refused(GgufBuilder.TinyLlama().Set(key, value), words);
        foreach (string key in (string[])["general.architecture", "llama.block_count", "llama.attention.layer_norm_rms_epsilon"]) Refused(GgufBuilder.TinyLlama().Without(key), key);
        foreach (float number in (float[])[0, -1, float.NaN, float.PositiveInfinity])
            foreach (string key in (string[])["llama.rope.freq_base", "llama.attention.layer_norm_rms_epsilon"])
                Refused(GgufBuilder.TinyLlama().Set(key, number).Floats("rope_freqs.weight", [2], [1, 8]), key, "above 0");
        Refused(GgufBuilder.TinyLlama().Set("llama.embedding_length", 10u).Floats("rope_freqs.weight", [2], [1, 8]), "head of 5");
        Refused(GgufBuilder.TinyLlama().Numbered("blk.0.ssm_conv1d.weight", 8, 4), "blk.0.ssm_conv1d.weight");
        Refused(GgufBuilder.TinyLlama().Numbered("scale", 8), "'scale'");
        Refused(GgufBuilder.TinyLlama().WithoutTensor("token_embd.weight"), "token_embd.weight");
        Refused(GgufBuilder.TinyLlama().WithoutTensor("blk.0.attn_q.weight").Numbered("blk.0.attn_q.weight", 6, 8), "6 rows");
        using GgufCheckpoint wide = GgufBuilder.TinyLlama().Set("llama.attention.sliding_window", 16u).Set("llama.rope.scaling.type", "none").OpenModel(_folder);
        Assert.Null(wide.Config["rope_scaling"]);
    }

    [Fact]
    public void Biases_of_queries_and_keys_are_put_in_order_too()
    {
        GgufBuilder file = GgufBuilder.TinyLlama();
        foreach (string name in (string[])["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"])
            file.Numbered($"blk.0.{name}.bias", name switch { "attn_k" or "attn_v" => 4, "ffn_gate" or "ffn_up" => 6, _ => 8 });
        file.WithoutTensor("blk.0.attn_q.bias").Floats("blk.0.attn_q.bias", [8], [0, 1, 2, 3, 4, 5, 6, 7]);
        using GgufCheckpoint model = file.OpenModel(_folder);
        float[] bias = new float[8];
        model.CopyTo("model.layers.0.self_attn.q_proj.bias", bias);
        Assert.Equal([0f, 2, 1, 3, 4, 6, 5, 7], bias);
        Assert.True((bool)model.Config["attention_bias"]! && (bool)model.Config["mlp_bias"]!);
        Assert.True((bool)model.Config["tie_word_embeddings"]!);
    }

    [Fact]
    public void All_ids_that_end_a_text_are_there()
    {
        using (GgufCheckpoint one = GgufBuilder.TinyLlama().Set("tokenizer.ggml.eot_token_id", 2u).OpenModel(_folder))
            Assert.Equal("""{"bos_token_id":1,"eos_token_id":2}""", one.GenerationConfig.ToJsonString());
        using GgufCheckpoint model = GgufBuilder.TinyLlama().Set("tokenizer.ggml.eot_token_id", 5u).Set("tokenizer.ggml.eom_token_id", 6u).Set("tokenizer.ggml.padding_token_id", 0u).OpenModel(_folder);
        Assert.Equal("""{"bos_token_id":1,"eos_token_id":[2,5,6],"pad_token_id":0}""", model.GenerationConfig.ToJsonString());
    }

    public void Dispose() => _folder.Dispose();

    private void Refused(GgufBuilder file, params ReadOnlySpan<string> words)
    {
        string path = file.Save(_folder);
        Sentence.Assert(Assert.Throws<UserException>(() => GgufCheckpoint.Open(path).Dispose()).Message, [path, .. words]);
    }
}
