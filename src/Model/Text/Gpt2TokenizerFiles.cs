using System.Globalization;
using System.Text.Json.Nodes;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>GPT-2's own two files, vocab.json and merges.txt, with the tokens that were added to them, as the document that a tokenizer.json would be.</summary>
internal static class Gpt2TokenizerFiles
{
    private const string Vocabulary = "vocab.json", Merges = "merges.txt", Added = "added_tokens.json", Config = "tokenizer_config.json", Special = "special_tokens_map.json";
    private static readonly string[] SpecialNames = ["bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token", "additional_special_tokens"];

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
            ["added_tokens"] = AddedTokens(folder, config, vocabulary),
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

    /// <summary>
    /// Tokens that are found in a text as they stand: those of added_tokens.json and of the config's added_tokens_decoder, which says
    /// more of each, and the special ones of the vocabulary.
    /// </summary>
    private static JsonArray AddedTokens(string folder, JsonObject? config, JsonObject vocabulary)
    {
        Dictionary<string, JsonObject> added = [];
        string decoder = $"{Path.Combine(folder, Config)}: added_tokens_decoder", file = Path.Combine(folder, Added);
        foreach ((string id, JsonNode? token) in config?["added_tokens_decoder"] as JsonObject ?? [])
        {
            if (token is not JsonObject || ChatTemplate.TokenText(token) is not { } text || !int.TryParse(id, NumberStyles.None, CultureInfo.InvariantCulture, out int number))
                throw new UserException($"{decoder}: '{id}' is not the id of an object with a content; take the file from where the model came from.");
            Add(text, number, token.DeepClone().AsObject(), decoder);
        }
        foreach ((string text, JsonNode? id) in Object(file) ?? [])
        {
            if (id is not JsonValue value || !value.TryGetValue(out int number)) throw new UserException($"{file}: the id of '{text}' is not a whole number; take the file from where the model came from.");
            Add(text, number, new JsonObject { ["content"] = text }, file);
        }
        foreach (string text in SpecialTokens(folder, config))
        {
            if (!added.ContainsKey(text) && vocabulary[text] is { } id) added[text] = new JsonObject { ["id"] = id.DeepClone(), ["content"] = text, ["normalized"] = false };
            if (added.TryGetValue(text, out JsonObject? token)) token["special"] = true;
        }
        return [.. added.Values];

        void Add(string text, int id, JsonObject token, string source)
        {
            if (!vocabulary.ContainsKey(text) && id < vocabulary.Count)
                throw new UserException($"{source}: the token '{text}' has the id {id}, but must come after the {vocabulary.Count} tokens of {Vocabulary}; take the files from where the model came from.");
            token["id"] = id;
            if (!added.TryAdd(text, token) && (int)added[text]["id"]! != id)
                throw new UserException($"{source}: the token '{text}' has the id {id}, but {added[text]["id"]} in {Config}; take the files from where the model came from.");
        }
    }

    /// <summary>The texts that the folder's settings name as special; GPT-2's end of text if they name none.</summary>
    private static IEnumerable<string> SpecialTokens(string folder, JsonObject? config)
    {
        JsonObject? map = Object(Path.Combine(folder, Special));
        IEnumerable<JsonNode?> tokens = SpecialNames.SelectMany(name => (JsonNode?[])[config?[name], map?[name]]).SelectMany(token => token is JsonArray list ? list : (IEnumerable<JsonNode?>)[token]);
        string[] named = [.. tokens.Select(ChatTemplate.TokenText).OfType<string>().Distinct()];
        return named.Length > 0 ? named : ["<|endoftext|>"];
    }

    private static JsonObject? Object(string path) => File.Exists(path) ? TextFile.Json(path) as JsonObject : null;
}
