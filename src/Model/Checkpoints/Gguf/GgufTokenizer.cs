using System.Text.Json.Nodes;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>tokenizer.json and tokenizer_config.json from a GGUF file's metadata.</summary>
internal static class GgufTokenizer
{
    private const int Normal = 1, Unknown = 2, Control = 3, UserDefined = 4, Unused = 5;

    // SentencePiece learns no longer ones, and the ways to cut one grow with its square.
    private const int LongestPiece = 512;

    private const string Contractions = @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|", Rest = @"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    // What llama.cpp takes where a converter knew nothing better, one cut after another.
    private static readonly string[] _defaultPatterns =
    [
        @"[\p{P}\$\+<=>\^~\|]+", @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)", @"\p{N}+", "[0-9][0-9][0-9]",
    ];

    /// <exception cref="UserException">The tokenizer is of a kind that is not supported, or its lists do not fit.</exception>
    public static JsonObject Document(GgufFile file)
    {
        string[] tokens = file.Texts("tokenizer.ggml.tokens");
        int[] types = Types(file, tokens.Length);
        string model = file.Text("tokenizer.ggml.model");
        return model switch
        {
            "gpt2" => BytePairs(file, tokens, types),
            "llama" => SentencePiece(file, tokens, types),
            _ => throw new UserException($"{file.Path}: tokenizer.ggml.model is '{SafeTensorsText.Clean(model)}', which is not supported; gpt2 and llama are."),
        };
    }

    public static JsonObject Config(GgufFile file)
    {
        string[] tokens = file.Texts("tokenizer.ggml.tokens");
        bool isBytePairs = file.Text("tokenizer.ggml.model") == "gpt2";
        JsonObject json = new()
        {
            ["add_bos_token"] = AddsBegin(file),
            ["add_eos_token"] = AddsEnd(file),
            ["clean_up_tokenization_spaces"] = false,
            ["tokenizer_class"] = !isBytePairs ? "LlamaTokenizer" : file.TextOrNull("tokenizer.ggml.pre") == "qwen2" ? "Qwen2Tokenizer" : "PreTrainedTokenizerFast",
        };
        foreach ((string key, string name) in (ReadOnlySpan<(string, string)>)[("bos_token", "bos"), ("eos_token", "eos"), ("pad_token", "padding"), ("unk_token", "unknown")])
            json[key] = Special(file, tokens, name) is var id and >= 0 ? tokens[id] : null;
        if (file.TextOrNull("tokenizer.chat_template") is { } template) json["chat_template"] = template;
        return json;
    }

    private static JsonObject BytePairs(GgufFile file, string[] tokens, int[] types)
    {
        string kind = Kind(file);
        JsonNode byteLevel = ByteLevel(usesRegex: false);
        (JsonNode? normalizer, JsonNode splitter, bool ignoresMerges) = kind switch
        {
            "gpt-2" or "gpt2" => (null, ByteLevel(usesRegex: true), false),
            "smollm" => (null, Sequence("pretokenizers", new JsonObject { ["type"] = "Digits", ["individual_digits"] = true }, ByteLevel(usesRegex: true)), false),
            "llama-bpe" or "llama3" or "llama-v3" => (null, Sequence("pretokenizers", Split(Contractions + @"\p{N}{1,3}" + Rest), byteLevel), true),
            "qwen2" or "deepseek-r1-qwen" =>
                ((JsonNode?)new JsonObject { ["type"] = "NFC" }, Sequence("pretokenizers", Split(Contractions + @"\p{N}" + Rest), byteLevel), false),
            "default" => (null, Sequence("pretokenizers", [.. _defaultPatterns.Select(Split), byteLevel]), false),
            _ => throw new UserException($"{file.Path}: tokenizer.ggml.pre is '{SafeTensorsText.Clean(kind)}', which is not supported; gpt-2, smollm, llama-bpe, qwen2 and default are."),
        };
        JsonObject document = new() { ["version"] = "1.0", ["truncation"] = null, ["padding"] = null };
        document["added_tokens"] = AddedTokens(tokens, types);
        document["normalizer"] = normalizer;
        document["pre_tokenizer"] = splitter;
        document["post_processor"] = Template(file, tokens);
        document["decoder"] = ByteLevel(usesRegex: true);
        document["model"] = Model(tokens, types, file.Texts("tokenizer.ggml.merges"), unknown: null, byteFallback: false, ignoresMerges);
        return document;
    }

    /// <summary>How a text is cut before pairs are merged. Files from before May 2024 do not say it.</summary>
    private static string Kind(GgufFile file) => file.TextOrNull("tokenizer.ggml.pre") ?? file.Text("general.architecture") switch
    {
        "gpt2" => "gpt-2",
        "qwen2" or "qwen3" => "qwen2",
        _ => throw new UserException($"{file.Path}: the metadata has no tokenizer.ggml.pre, so how the tokenizer cuts a text is not known; convert the model again with a current program."),
    };

    private static JsonObject SentencePiece(GgufFile file, string[] tokens, int[] types)
    {
        bool addsSpace = file.Flag("tokenizer.ggml.add_space_prefix", true);
        JsonObject space = Replace(" ", "▁"), back = Replace("▁", " ");
        JsonArray normalizers = addsSpace ? [new JsonObject { ["type"] = "Prepend", ["prepend"] = "▁" }, space] : [space];
        JsonArray decoders = [back, new JsonObject { ["type"] = "ByteFallback" }, new JsonObject { ["type"] = "Fuse" }];
        if (addsSpace) decoders.Add((JsonNode)new JsonObject { ["type"] = "Strip", ["content"] = " ", ["start"] = 1, ["stop"] = 0 });
        JsonObject document = new() { ["version"] = "1.0", ["truncation"] = null, ["padding"] = null };
        document["added_tokens"] = AddedTokens(tokens, types);
        document["normalizer"] = new JsonObject { ["type"] = "Sequence", ["normalizers"] = normalizers };
        document["pre_tokenizer"] = null;
        document["post_processor"] = Template(file, tokens);
        document["decoder"] = new JsonObject { ["type"] = "Sequence", ["decoders"] = decoders };
        int unknown = Math.Max(Special(file, tokens, "unknown"), Array.IndexOf(types, Unknown));
        document["model"] = Model(tokens, types, Merges(file, tokens, types), unknown < 0 ? null : tokens[unknown], byteFallback: true, ignoresMerges: false);
        return document;
    }

    /// <summary>
    /// SentencePiece keeps a score for each piece and no merges: every way to make a piece of two others is one, the best
    /// piece first. Ways to the same piece go by the scores of their parts, as the transformers library's converter has them.
    /// </summary>
    private static IEnumerable<string> Merges(GgufFile file, string[] tokens, int[] types)
    {
        double[] scores = file.Numbers("tokenizer.ggml.scores");
        if (scores.Length != tokens.Length)
            throw new UserException($"{file.Path}: tokenizer.ggml.scores has {scores.Length} entries for {tokens.Length} tokens; the file was written wrongly.");
        Dictionary<string, double> known = [];
        for (int id = 0; id < tokens.Length; id++) if (IsMerged(id)) known.TryAdd(tokens[id], scores[id]);
        List<(string Left, string Right, double Score)> merges = [];
        for (int id = 0; id < tokens.Length; id++)
        {
            if (!IsMerged(id)) continue;
            List<(string Left, string Right)> ways = [];
            for (int cut = 1; cut < tokens[id].Length; cut++)
            {
                string left = tokens[id][..cut], right = tokens[id][cut..];
                if (known.ContainsKey(left) && known.ContainsKey(right)) ways.Add((left, right));
            }
            merges.AddRange(ways.OrderByDescending(way => known[way.Left]).ThenByDescending(way => known[way.Right]).Select(way => (way.Left, way.Right, scores[id])));
        }
        return merges.OrderByDescending(merge => merge.Score).Select(merge => $"{merge.Left} {merge.Right}");

        // A space is "▁" by the time pairs are merged, so a piece with one is only ever cut out as a whole.
        bool IsMerged(int id) => types[id] is Normal or UserDefined && tokens[id].Length <= LongestPiece && !tokens[id].Contains(' ');
    }

    private static JsonObject Model(string[] tokens, int[] types, IEnumerable<string> merges, string? unknown, bool byteFallback, bool ignoresMerges)
    {
        JsonObject vocabulary = [];
        // Rows of the model beyond its tokens are given names that a folder does not have.
        for (int id = 0; id < tokens.Length; id++) if (types[id] != Unused || tokens[id] != $"[PAD{id}]") vocabulary[tokens[id]] = id;
        return new JsonObject
        {
            ["type"] = "BPE",
            ["dropout"] = null,
            ["unk_token"] = unknown,
            ["continuing_subword_prefix"] = null,
            ["end_of_word_suffix"] = null,
            ["fuse_unk"] = byteFallback,
            ["byte_fallback"] = byteFallback,
            ["ignore_merges"] = ignoresMerges,
            ["vocab"] = vocabulary,
            ["merges"] = new JsonArray([.. merges.Select(merge => (JsonNode)merge)]),
        };
    }

    private static JsonArray AddedTokens(string[] tokens, int[] types) => new([.. Enumerable.Range(0, tokens.Length)
        .Where(id => types[id] is Unknown or Control or UserDefined)
        .Select(id => (JsonNode)new JsonObject
        {
            ["id"] = id,
            ["content"] = tokens[id],
            ["single_word"] = false,
            ["lstrip"] = false,
            ["rstrip"] = false,
            ["normalized"] = false,
            ["special"] = types[id] != UserDefined,
        })]);

    private static int[] Types(GgufFile file, int tokens)
    {
        if (!file.Has("tokenizer.ggml.token_type")) return [.. Enumerable.Repeat(Normal, tokens)];
        int[] types = [.. file.Numbers("tokenizer.ggml.token_type").Select(type => (int)type)];
        return types.Length == tokens ? types
            : throw new UserException($"{file.Path}: tokenizer.ggml.token_type has {types.Length} entries for {tokens} tokens; the file was written wrongly.");
    }

    private static JsonNode? Template(GgufFile file, string[] tokens)
    {
        int begin = AddsBegin(file) ? Special(file, tokens, "bos") : -1, end = AddsEnd(file) ? Special(file, tokens, "eos") : -1;
        if (begin < 0 && end < 0) return null;
        JsonArray single = [], pair = [];
        JsonObject special = [];
        foreach ((string sequence, int type) in new[] { ("A", 0), ("B", 1) })
        {
            foreach (JsonArray list in type == 0 ? (JsonArray[])[single, pair] : [pair])
            {
                if (begin >= 0) list.Add((JsonNode)Token(tokens[begin], type));
                list.Add((JsonNode)new JsonObject { ["Sequence"] = new JsonObject { ["id"] = sequence, ["type_id"] = type } });
                if (end >= 0) list.Add((JsonNode)Token(tokens[end], type));
            }
        }
        foreach (int id in new[] { begin, end }.Where(id => id >= 0))
            special[tokens[id]] = new JsonObject { ["id"] = tokens[id], ["ids"] = new JsonArray(id), ["tokens"] = new JsonArray(tokens[id]) };
        return new JsonObject { ["type"] = "TemplateProcessing", ["single"] = single, ["pair"] = pair, ["special_tokens"] = special };

        static JsonObject Token(string token, int type) => new() { ["SpecialToken"] = new JsonObject { ["id"] = token, ["type_id"] = type } };
    }

    /// <summary>What a file does not say: SentencePiece and Llama 3 begin a text with BOS, other byte pairs do not.</summary>
    private static bool AddsBegin(GgufFile file) => file.Flag(
        "tokenizer.ggml.add_bos_token", file.Text("tokenizer.ggml.model") == "llama" || file.TextOrNull("tokenizer.ggml.pre") is "llama-bpe" or "llama3" or "llama-v3");

    private static bool AddsEnd(GgufFile file) => file.Flag("tokenizer.ggml.add_eos_token", false);

    /// <summary>The id of a special token, or −1.</summary>
    private static int Special(GgufFile file, string[] tokens, string name)
    {
        string key = $"tokenizer.ggml.{name}_token_id";
        if (!file.Has(key)) return -1;
        int id = file.Integer(key);
        return id >= 0 && id < tokens.Length ? id : throw new UserException($"{file.Path}: {key} is {id}, but there are {tokens.Length} tokens.");
    }

    private static JsonObject ByteLevel(bool usesRegex) =>
        new() { ["type"] = "ByteLevel", ["add_prefix_space"] = false, ["trim_offsets"] = true, ["use_regex"] = usesRegex };

    private static JsonObject Split(string pattern) =>
        new() { ["type"] = "Split", ["pattern"] = new JsonObject { ["Regex"] = pattern }, ["behavior"] = "Isolated", ["invert"] = false };

    private static JsonObject Replace(string pattern, string content) =>
        new() { ["type"] = "Replace", ["pattern"] = new JsonObject { ["String"] = pattern }, ["content"] = content };

    private static JsonObject Sequence(string list, params JsonNode[] steps) => new() { ["type"] = "Sequence", [list] = new JsonArray(steps) };
}
