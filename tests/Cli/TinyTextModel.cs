using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;
using QSharp.Tests.Model;

namespace QSharp.Tests.Cli;

/// <summary>
/// A model folder with a tokenizer and a chat template, made on the spot: random weights, letters and a few common pairs as
/// tokens, and more rows than the tokenizer has tokens, as Qwen's models have.
/// </summary>
internal sealed class TinyTextModel : IDisposable
{
    /// <summary>Rows of the model that stand for no token.</summary>
    public const int Padding = 9;

    private readonly TemporaryFolder _folder = new();

    /// <param name="begin">Whether the tokenizer puts a BOS before a text.</param>
    /// <param name="hasChat">Whether there is a chat template.</param>
    public TinyTextModel(bool begin = true, bool hasChat = true, ulong seed = 5, int layers = 2, int width = 32, int padding = Padding)
    {
        JsonObject tokenizer = Tokenizer(begin);
        Tokens = tokenizer["model"]!["vocab"]!.AsObject().Count;
        using CpuDevice device = new(1);
        TransformerConfig config = TestModels.Config("llama", Tokens + padding, context: 128, layers, width);
        using LanguageModel model = TestModels.Language(Ops.For(device), config, seed);
        foreach (ref float weight in model.Weights.FinalNorm.Span<float>()) weight *= 0.5f;
        // The rows without a token are the likeliest of all.
        Span<float> head = model.Weights.Head.Span<float>();
        for (int i = Tokens * config.Width; i < head.Length; i++) head[i] *= 3;
        SafeTensorsFolder.Write(Path, ModelTensors.Export(model));
        JsonObject json = ModelFamily.Of(config).Write(config);
        json["eos_token_id"] = 1;
        Write("config.json", json);
        Write("generation_config.json", new JsonObject { ["eos_token_id"] = new JsonArray(1, 2) });
        Write("tokenizer.json", tokenizer);
        JsonObject tokenizerConfig = new() { ["bos_token"] = "<s>", ["eos_token"] = "</s>" };
        if (hasChat) tokenizerConfig["chat_template"] =
            "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}{{ m.role }} {{ m.content }} . {% endfor %}{% if add_generation_prompt %}bot {% endif %}";
        Write("tokenizer_config.json", tokenizerConfig);
    }

    public string Path => _folder.Path;

    /// <summary>Ids with a token.</summary>
    public int Tokens { get; }

    public string this[string name] => _folder[name];

    public void Dispose() => _folder.Dispose();

    private void Write(string name, JsonObject json) => File.WriteAllText(_folder[name], json.ToJsonString());

    private static JsonObject Tokenizer(bool begin)
    {
        JsonObject vocabulary = new() { ["<s>"] = 0, ["</s>"] = 1, ["<end>"] = 2 };
        foreach (string token in (string[])["Ġ", .. Enumerable.Range('a', 26).Select(letter => ((char)letter).ToString()), ".", "ca", "cat", "Ġcat"])
            vocabulary[token] = vocabulary.Count;
        JsonArray added = [.. ((string[])["<s>", "</s>", "<end>"]).Select((token, id) => (JsonNode)new JsonObject
        {
            ["id"] = id, ["content"] = token, ["special"] = true, ["normalized"] = false, ["lstrip"] = false, ["rstrip"] = false, ["single_word"] = false,
        })];
        JsonObject json = new()
        {
            ["version"] = "1.0",
            ["added_tokens"] = added,
            ["normalizer"] = null,
            ["pre_tokenizer"] = new JsonObject { ["type"] = "ByteLevel", ["add_prefix_space"] = false, ["trim_offsets"] = true, ["use_regex"] = true },
            ["decoder"] = new JsonObject { ["type"] = "ByteLevel", ["add_prefix_space"] = false, ["trim_offsets"] = true, ["use_regex"] = true },
            ["model"] = new JsonObject { ["type"] = "BPE", ["vocab"] = vocabulary, ["merges"] = new JsonArray("c a", "ca t", "Ġ cat") },
        };
        json["post_processor"] = !begin ? null : new JsonObject
        {
            ["type"] = "TemplateProcessing",
            ["single"] = new JsonArray(
                new JsonObject { ["SpecialToken"] = new JsonObject { ["id"] = "<s>", ["type_id"] = 0 } },
                new JsonObject { ["Sequence"] = new JsonObject { ["id"] = "A", ["type_id"] = 0 } }),
            ["pair"] = new JsonArray(),
            ["special_tokens"] = new JsonObject { ["<s>"] = new JsonObject { ["id"] = "<s>", ["ids"] = new JsonArray(0), ["tokens"] = new JsonArray("<s>") } },
        };
        return json;
    }
}
