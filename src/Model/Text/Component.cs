using System.Text.Json;
using System.Text.Json.Nodes;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// A JSON object of a tokenizer.json, such as a normalizer, read strictly: an option of the wrong kind and one that is not known are
/// each refused by name, since passing over either would give other ids than the model was trained with.
/// </summary>
/// <param name="json">The object.</param>
/// <param name="place">Where it stands, for messages: "pre_tokenizer[1]".</param>
/// <param name="source">The document's name, for messages.</param>
internal sealed class Component(JsonObject json, string place, string source)
{
    private readonly HashSet<string> _known = ["type"];

    /// <summary>What it is, such as "ByteLevel".</summary>
    public string Type => Text("type");

    /// <summary>The object at a key of a document, or null where there is none.</summary>
    public static Component? At(JsonObject document, string key, string source) => document[key] switch
    {
        null => null,
        JsonObject json => new Component(json, key, source),
        _ => throw Damaged(source, $"'{key}' is not an object"),
    };

    public static UserException Damaged(string source, string fault) =>
        new($"{source}: {fault}: the file is damaged or was written wrongly; download or export it again.");

    public bool Has(string option) => Value(option) is not null;

    public bool Flag(string option, bool otherwise) => Value(option) switch
    {
        null => otherwise,
        JsonValue value when value.TryGetValue(out bool flag) => flag,
        _ => throw Wrong($"'{option}' is neither true nor false"),
    };

    public int Number(string option, int otherwise) => Value(option) switch
    {
        null => otherwise,
        JsonValue value when value.TryGetValue(out int number) => number,
        _ => throw Wrong($"'{option}' is not a whole number"),
    };

    public string Text(string option) => TextOrNull(option) ?? throw Wrong($"'{option}' is missing");

    public string? TextOrNull(string option) => Value(option) switch
    {
        null => null,
        JsonValue value when value.TryGetValue(out string? text) => text,
        _ => throw Wrong($"'{option}' is not a text"),
    };

    /// <summary>One object inside.</summary>
    public Component Inner(string option) => new(
        Value(option) as JsonObject ?? throw Wrong($"'{option}' is missing or not an object"), $"{place}.{option}", source);

    /// <summary>The objects of a list inside.</summary>
    public Component[] List(string option) => [.. Array(option).Select((item, i) => new Component(
        item as JsonObject ?? throw Wrong($"item {i} of '{option}' is not an object"), $"{place}.{option}[{i}]", source))];

    public int[] Numbers(string option) => [.. Array(option).Select(item => item is JsonValue value && value.TryGetValue(out int number)
        ? number
        : throw Wrong($"'{option}' holds something other than whole numbers"))];

    /// <summary>The only option that this object has.</summary>
    public string Only() => json.Count == 1 ? json.First().Key : throw Wrong("it has other than one option");

    /// <summary>Refuses options that nobody has asked for; one that is null is off.</summary>
    public void End(params ReadOnlySpan<string> withoutEffect)
    {
        foreach ((string option, JsonNode? value) in json)
            if (value is not null && !_known.Contains(option) && !withoutEffect.Contains(option)) throw Unsupported($"the option '{option}'");
    }

    public UserException Wrong(string fault) => Damaged(source, $"{place}: {fault}");

    public UserException Unsupported(string what) => new($"{source}: {place}: {what} is not supported here; use a model whose tokenizer does without.");

    /// <summary>For a type that is none of those known.</summary>
    public UserException Unknown(string known) =>
        new($"{source}: {place}: the type '{Type}' is not supported here, only {known}; use a model whose tokenizer does without.");

    private JsonArray Array(string option) => Value(option) as JsonArray ?? throw Wrong($"'{option}' is missing or not a list");

    private JsonNode? Value(string option)
    {
        _known.Add(option);
        JsonNode? node = json[option];
        return node is JsonValue && node.GetValueKind() == JsonValueKind.Null ? null : node;
    }
}
