using System.Text.Json.Nodes;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>GPT-2's own two files, vocab.json and merges.txt, as the document that a tokenizer.json would be.</summary>
internal static class Gpt2TokenizerFiles
{
    private const string Vocabulary = "vocab.json", Merges = "merges.txt", Config = "tokenizer_config.json", Special = "special_tokens_map.json";
    private static readonly string[] SpecialNames = ["bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token"];

    public static bool Exist(string folder) => File.Exists(Path.Combine(folder, Vocabulary)) && File.Exists(Path.Combine(folder, Merges));

    public static JsonObject Document(string folder)
    {
        string path = Path.Combine(folder, Vocabulary);
        JsonObject vocabulary = Object(path) ?? throw new UserException($"{path}: not an object of tokens and ids; download it again.");
        JsonObject? config = Object(Path.Combine(folder, Config));
        if (config?["tokenizer_class"]?.ToString() is { } name && !name.StartsWith("GPT2Tokenizer", StringComparison.Ordinal))
            throw new UserException($"{folder}: vocab.json and merges.txt of a {name} do not say how it cuts a text; save the model with its tokenizer.json.");
        // The first line of merges.txt may be a comment that names a version.
        IEnumerable<string> merges = TextFile.Text(Path.Combine(folder, Merges)).Split('\n').Select(line => line.TrimEnd('\r'))
            .Where((line, i) => line.Length > 0 && !(i == 0 && line.StartsWith("#version", StringComparison.Ordinal)));
        bool prefix = config?["add_prefix_space"] is JsonValue flag && flag.TryGetValue(out bool given) && given;
        return new JsonObject
        {
            ["added_tokens"] = new JsonArray([.. SpecialTokens(folder, config).Where(vocabulary.ContainsKey).Select(token => new JsonObject
            {
                ["id"] = vocabulary[token]!.DeepClone(),
                ["content"] = token,
                ["normalized"] = false,
                ["special"] = true,
            })]),
            ["pre_tokenizer"] = new JsonObject { ["type"] = "ByteLevel", ["add_prefix_space"] = prefix },
            ["decoder"] = new JsonObject { ["type"] = "ByteLevel" },
            ["model"] = new JsonObject
            {
                ["type"] = "BPE",
                ["vocab"] = vocabulary,
                ["merges"] = new JsonArray([.. merges.Select(merge => JsonValue.Create(merge))]),
            },
        };
    }

    /// <summary>The texts that the folder's settings name as special; GPT-2's end of text if they name none.</summary>
    private static IEnumerable<string> SpecialTokens(string folder, JsonObject? config)
    {
        JsonObject? map = Object(Path.Combine(folder, Special));
        string[] named = [.. SpecialNames.SelectMany(name => (JsonNode?[])[config?[name], map?[name]]).Select(ChatTemplate.TokenText).OfType<string>().Distinct()];
        return named.Length > 0 ? named : ["<|endoftext|>"];
    }

    private static JsonObject? Object(string path) => File.Exists(path) ? TextFile.Json(path) as JsonObject : null;
}
