using System.Text.Json;
using System.Text.Json.Nodes;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// Reads a tokenizer.json. Its vocabulary and merges, which are nearly all of it, are read token by token; only the small rest
/// becomes a tree. Every fault is a <see cref="UserException"/>.
/// </summary>
internal ref struct TokenizerJson
{
    /// <summary>More than any vocabulary has; a damaged id must not ask for all memory.</summary>
    public const int MaxTokens = 1 << 22;

    private static readonly JsonDocumentOptions Strict = new() { AllowDuplicateProperties = false };

    private readonly ReadOnlySpan<byte> _json;
    private readonly string _source;
    private char[] _buffer = new char[256];

    private TokenizerJson(ReadOnlySpan<byte> json, string source)
    {
        _json = json;
        _source = source;
    }

    /// <param name="json">UTF-8.</param>
    /// <param name="source">The document's name, for messages.</param>
    public static Tokenizer Read(ReadOnlySpan<byte> json, string source)
    {
        if (json.StartsWith("\uFEFF"u8)) json = json[3..];
        try
        {
            return new TokenizerJson(json, source).Read();
        }
        catch (JsonException error)
        {
            throw Component.Damaged(source, $"not valid JSON ({TextFile.Cause(error)})");
        }
        catch (InvalidOperationException)
        {
            throw Component.Damaged(source, "a text is not valid UTF-8 or has half of a surrogate pair as an escape");
        }
    }

    private Tokenizer Read()
    {
        JsonObject document = [];
        BpeModel? model = null;
        Utf8JsonReader reader = new(_json);
        Begin(ref reader, "the document");
        while (Key(ref reader) is string key)
        {
            if (key == "model" && model is not null) throw Component.Damaged(_source, "'model' is there twice");
            if (key == "model") model = Model(ref reader);
            else if (!document.TryAdd(key, Tree(ref reader))) throw Component.Damaged(_source, $"'{key}' is there twice");
        }
        reader.Read();   // refuses what follows
        return TokenizerParts.Build(document, model ?? throw Component.Damaged(_source, "there is no 'model'"), _source);
    }

    private BpeModel Model(ref Utf8JsonReader reader)
    {
        JsonObject options = [];
        Utf8JsonReader vocabularyAt = default, mergesAt = default;
        HashSet<string> keys = [];
        Begin(ref reader, "'model'");
        while (Key(ref reader) is string key)
        {
            if (!keys.Add(key)) throw Component.Damaged(_source, $"'{key}' of the model is there twice");
            // The merges need the whole vocabulary, which may come after them, and a model of another type is refused unread.
            if (key == "vocab") vocabularyAt = reader;
            else if (key == "merges") mergesAt = reader;
            else options[key] = Tree(ref reader);
            if (key is "vocab" or "merges") Pass(ref reader);
        }
        Component component = new(options, "model", _source);
        if ((component.TextOrNull("type") ?? "BPE") != "BPE") throw component.Unknown("BPE");
        if (!keys.Contains("vocab") || !keys.Contains("merges")) throw component.Wrong("'vocab' or 'merges' is missing");
        Dictionary<string, int> vocabulary = Vocabulary(ref vocabularyAt);
        Dictionary<ulong, Merge> merges = Merges(ref mergesAt, vocabulary);
        return new BpeModel(vocabulary, merges, Rules(component, vocabulary));
    }

    private static BpeRules Rules(Component component, Dictionary<string, int> vocabulary)
    {
        foreach (string affix in (ReadOnlySpan<string>)["continuing_subword_prefix", "end_of_word_suffix"])
            if (!string.IsNullOrEmpty(component.TextOrNull(affix))) throw component.Unsupported($"a {affix}");
        int? unknown = null;
        if (component.TextOrNull("unk_token") is string token)
            unknown = vocabulary.TryGetValue(token, out int id) ? id : throw component.Wrong($"the unk_token '{token}' is not in the vocabulary");
        BpeRules rules = new(component.Flag("ignore_merges", false), component.Flag("byte_fallback", false), unknown, component.Flag("fuse_unk", false));
        component.End();   // a dropout among them: it would make ids random
        return rules;
    }

    private readonly Dictionary<string, int> Vocabulary(ref Utf8JsonReader reader)
    {
        Dictionary<string, int> vocabulary = new(Math.Min(_json.Length / 32, MaxTokens), StringComparer.Ordinal);
        Begin(ref reader, "'vocab'");
        while (Key(ref reader) is string token)
        {
            reader.Read();
            if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt32(out int id) || id is < 0 or >= MaxTokens)
                throw Component.Damaged(_source, $"the id of the token '{token}' is not a whole number from 0 to {MaxTokens - 1}");
            if (!vocabulary.TryAdd(token, id)) throw Component.Damaged(_source, $"the token '{token}' is in the vocabulary twice");
        }
        return vocabulary;
    }

    /// <summary>Pairs as "a b" or as ["a", "b"], the lowest rank first.</summary>
    private Dictionary<ulong, Merge> Merges(ref Utf8JsonReader reader, Dictionary<string, int> vocabulary)
    {
        Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> lookup = vocabulary.GetAlternateLookup<ReadOnlySpan<char>>();
        Dictionary<ulong, Merge> merges = new(vocabulary.Count);
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartArray) throw Component.Damaged(_source, "'merges' is not a list");
        for (int rank = 0; reader.Read() && reader.TokenType != JsonTokenType.EndArray; rank++)
        {
            int left = Copy(ref reader, rank, out int length);
            Span<char> joined = _buffer.AsSpan(0, length);
            if (!lookup.TryGetValue(joined[..left], out int leftId) || !lookup.TryGetValue(joined[left..], out int rightId)
                || !lookup.TryGetValue(joined, out int id))
                throw Component.Damaged(_source, $"merge {rank} joins '{joined[..left]}' and '{joined[left..]}', but the vocabulary lacks one of them or what they become");
            merges[BpeModel.Pair(leftId, rightId)] = new Merge(rank, id);
        }
        return merges;
    }

    /// <summary>Copies the two texts of a merge to the buffer, the second right behind the first.</summary>
    /// <returns>The length of the first.</returns>
    private int Copy(ref Utf8JsonReader reader, int rank, out int length)
    {
        if (reader.TokenType == JsonTokenType.String)
        {
            length = CopyText(ref reader, 0) - 1;
            Span<char> text = _buffer.AsSpan(0, length + 1);
            int space = text.IndexOf(' ');
            if (space < 0 || text.LastIndexOf(' ') != space) throw Component.Damaged(_source, $"merge {rank} is not two texts with a space between them");
            text[(space + 1)..].CopyTo(text[space..]);
            return space;
        }
        length = 0;
        int left = 0, texts = 0;
        if (reader.TokenType == JsonTokenType.StartArray)
            for (; reader.Read() && reader.TokenType == JsonTokenType.String; texts++)
            {
                left = length;
                length += CopyText(ref reader, length);
            }
        return reader.TokenType == JsonTokenType.EndArray && texts == 2 ? left : throw Component.Damaged(_source, $"merge {rank} is not two texts");
    }

    private int CopyText(ref Utf8JsonReader reader, int at)
    {
        int needed = at + reader.ValueSpan.Length;
        if (needed > _buffer.Length) Array.Resize(ref _buffer, 2 * needed);
        return reader.CopyString(_buffer.AsSpan(at));
    }

    private readonly void Begin(ref Utf8JsonReader reader, string what)
    {
        if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject) throw Component.Damaged(_source, $"{what} is not an object");
    }

    /// <summary>The next key of an object, or null at its end.</summary>
    private static string? Key(ref Utf8JsonReader reader) => reader.Read() && reader.TokenType == JsonTokenType.PropertyName ? reader.GetString() : null;

    private readonly JsonNode? Tree(ref Utf8JsonReader reader)
    {
        int start = (int)reader.BytesConsumed;
        Pass(ref reader);
        ReadOnlySpan<byte> value = _json[start..(int)reader.BytesConsumed].TrimStart(" \t\r\n:"u8);
        return JsonNode.Parse(value, documentOptions: Strict);
    }

    /// <summary>Passes over the value of a key.</summary>
    private static void Pass(ref Utf8JsonReader reader)
    {
        reader.Read();
        reader.Skip();
    }
}
