using System.Text.Json.Nodes;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>Typed reading of a config's keys. Every mistake is one sentence that names the file and the key.</summary>
internal sealed class ConfigJson(JsonObject json, string path)
{
    public string Path => path;

    /// <summary>Whether a key is there with a value other than null.</summary>
    public bool Has(string key) => json[key] is not null;

    /// <summary>The first key whose value is an object, or null.</summary>
    public string? InnerKey => json.FirstOrDefault(entry => entry.Value is JsonObject).Key;

    public string Text(string key) =>
        json[key] is JsonValue value && value.TryGetValue(out string? text) ? text : throw Wrong(key, "a text");

    public int Integer(string key) => IntegerOf(json[key]) ?? throw Wrong(key, "a whole number");

    public int Integer(string key, int absent) => Has(key) ? Integer(key) : absent;

    public float Real(string key, float absent) => Has(key) ? Real(key) : absent;

    public float Real(string key) => NumberOf(json[key]) is { } number ? (float)number : throw Wrong(key, "a number");

    /// <summary>A number greater than 0, or null where there is none.</summary>
    public double? PositiveOrNull(string key) =>
        !Has(key) ? null : NumberOf(json[key]) is { } number && number > 0 ? number : throw Wrong(key, "a number greater than 0");

    public bool Flag(string key, bool absent) =>
        !Has(key) ? absent : json[key] is JsonValue value && value.TryGetValue(out bool flag) ? flag : throw Wrong(key, "true or false");

    /// <summary>An object inside this one, or null where there is none.</summary>
    public ConfigJson? Object(string key) => json[key] switch
    {
        null => null,
        JsonObject inner => new ConfigJson(inner, $"{path}: {key}"),
        _ => throw Wrong(key, "an object"),
    };

    /// <summary>A text or a list of texts, empty where the key is absent.</summary>
    public IReadOnlyList<string> Texts(string key) => json[key] switch
    {
        null => [],
        JsonArray array => [.. array.Select(item => item is JsonValue value && value.TryGetValue(out string? text) ? text : throw Wrong(key, "a list of texts"))],
        _ => [Text(key)],
    };

    /// <summary>One token id or a list of them; empty where the key is absent.</summary>
    public IReadOnlyList<int> Ids(string key) => json[key] switch
    {
        null => [],
        JsonArray array => [.. array.Select(item => IntegerOf(item) ?? throw Wrong(key, "a token id or a list of them"))],
        { } single => [IntegerOf(single) ?? throw Wrong(key, "a token id or a list of them")],
    };

    /// <summary>Refuses any value of a key but one: a feature that this engine lacks is never ignored.</summary>
    public void RequireText(string key, params ReadOnlySpan<string> supported)
    {
        if (Has(key) && !supported.Contains(Text(key)))
            throw new UserException($"{path}: {key} is '{Text(key)}', which is not supported; only {string.Join(" or ", supported.ToArray())} is.");
    }

    /// <inheritdoc cref="RequireText"/>
    public void RequireFlag(string key, bool supported, string feature)
    {
        if (Flag(key, supported) != supported)
            throw new UserException($"{path}: {key} is {(supported ? "false" : "true")}, but {feature} is not supported.");
    }

    /// <summary>A whole number may also be written 1e6 or 64.0.</summary>
    private static int? IntegerOf(JsonNode? node) =>
        NumberOf(node) is { } number && number == Math.Truncate(number) && Math.Abs(number) <= int.MaxValue ? (int)number : null;

    /// <summary>A number of a file, or one that was put in from a program under its own type.</summary>
    private static double? NumberOf(JsonNode? node) => node is not JsonValue value ? null
        : value.TryGetValue(out double real) ? real
        : value.TryGetValue(out int integer) ? integer
        : value.TryGetValue(out float single) ? single
        : null;

    private UserException Wrong(string key, string kind) =>
        new(Has(key) ? $"{path}: {key} is {json[key]!.ToJsonString()}, but must be {kind}." : $"{path}: {key} is missing; it must be {kind}.");
}
