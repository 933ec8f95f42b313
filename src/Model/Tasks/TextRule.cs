using System.Globalization;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// A checkable reward in one line of JSON. All of its conditions must hold for reward 1; else it is 0.
/// <code>{"contains": ["cat"], "lacks": ["dog"], "matches": "\\d+ apples", "number": 7, "ends": true}</code>
/// contains and lacks: texts that do or do not occur, as whole words in any case; matches: a regular expression;
/// number: the last number of the response; ends: the response ends by itself within its limit.
/// </summary>
public sealed class TextRule
{
    private static readonly Regex _numbers = new(@"-?\d[\d,]*(?:\.\d+)?", RegexOptions.NonBacktracking);

    private readonly Regex[] _contains, _lacks;
    private readonly Regex? _matches;
    private readonly decimal? _number;
    private readonly bool _ends;

    /// <param name="source">File and line, for messages.</param>
    /// <exception cref="UserException">A key is unknown or has a wrong value, or there is none at all.</exception>
    public TextRule(JsonObject json, string source)
    {
        ConfigJson rule = new(json, source);
        foreach ((string key, _) in json)
            if (key is not ("contains" or "lacks" or "matches" or "number" or "ends"))
                throw new UserException($"{source}: '{key}' is no condition of a rule; these are: contains, lacks, matches, number, ends.");
        if (json.Count == 0) throw new UserException($"{source}: the rule has no condition; give one of contains, lacks, matches, number, ends.");
        _contains = Words(rule, "contains");
        _lacks = Words(rule, "lacks");
        _matches = rule.Has("matches") ? Expression(rule.Text("matches"), source) : null;
        _number = !rule.Has("number") ? null
            : json["number"] is JsonValue value && value.TryGetValue(out decimal number) ? number
            : throw new UserException($"{source}: number is {json["number"]!.ToJsonString()}, but must be a number.");
        _ends = rule.Flag("ends", false);
    }

    /// <param name="ended">Whether the response ended by itself.</param>
    public float Reward(string response, bool ended) =>
        (!_ends || ended)
        && Array.TrueForAll(_contains, word => word.IsMatch(response))
        && !Array.Exists(_lacks, word => word.IsMatch(response))
        && (_matches is null || _matches.IsMatch(response))
        && (_number is null || LastNumber(response) == _number) ? 1 : 0;

    private static decimal? LastNumber(string text)
    {
        Match? last = _numbers.Matches(text).LastOrDefault();
        return last is not null && decimal.TryParse(last.Value, NumberStyles.Number, CultureInfo.InvariantCulture, out decimal number) ? number : null;
    }

    private static Regex[] Words(ConfigJson rule, string key) =>
        [.. rule.Texts(key).Select(word => new Regex($@"(?<!\w){Regex.Escape(word)}(?!\w)", RegexOptions.IgnoreCase | RegexOptions.CultureInvariant))];

    /// <summary>Without backtracking, so that no response takes more than linear time.</summary>
    private static Regex Expression(string pattern, string source)
    {
        try
        {
            return new Regex(pattern, RegexOptions.NonBacktracking | RegexOptions.CultureInvariant);
        }
        catch (Exception error) when (error is ArgumentException or NotSupportedException)
        {
            throw new UserException($"{source}: matches is no regular expression that can be used here ({error.Message.TrimEnd('.')}).", error);
        }
    }
}
