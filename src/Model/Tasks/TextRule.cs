using System.Globalization;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// A checkable reward in one line of JSON. All of its conditions must hold for reward 1, or for a command's reward; else it is 0.
/// <code>{"contains": ["cat"], "lacks": ["dog"], "matches": "\\d+ apples", "number": 7, "ends": true}</code>
/// contains and lacks: texts that do or do not occur, as whole words in any case; matches: a regular expression; number: the last
/// number of the response; exact: the whole response; choice: the letter of an answer; math: what stands in the last \boxed{…};
/// ends: the response ends by itself within its limit; command: a program that reads the response and prints a reward.
/// </summary>
public sealed class TextRule
{
    private static readonly string[] _keys = ["contains", "lacks", "matches", "number", "exact", "choice", "math", "ends", "command", "timeout"];

    private readonly Regex[] _contains = [], _lacks = [];
    private readonly Regex? _matches;
    private readonly decimal? _number;
    private readonly string? _exact, _choice, _math;
    private readonly bool _ends;
    private readonly RewardCommand? _command;

    /// <param name="source">File and line, for messages.</param>
    /// <exception cref="UserException">A key is unknown or has a wrong value, or there is none at all.</exception>
    public TextRule(JsonObject json, string source)
    {
        ConfigJson rule = new(json, source);
        string all = string.Join(", ", _keys[..^1]);
        foreach ((string key, _) in json)
            if (!_keys.Contains(key)) throw new UserException($"{source}: '{key}' is no condition of a rule; these are: {all}.");
        _contains = Words(rule, "contains", source);
        _lacks = Words(rule, "lacks", source);
        _matches = rule.Has("matches") ? Expression(rule.Text("matches"), source) : null;
        _number = !rule.Has("number") ? null
            : json["number"] is JsonValue value && value.TryGetValue(out decimal number) ? number
            : throw new UserException($"{source}: number is {json["number"]!.ToJsonString()}, but must be a number.");
        _exact = rule.Has("exact") ? rule.Text("exact").Trim() : null;
        _choice = rule.Has("choice") ? Letter(rule.Text("choice"), source) : null;
        _math = rule.Has("math") ? rule.Text("math") : null;
        if (_math is { } reference && string.IsNullOrWhiteSpace(reference)) throw new UserException($"{source}: math is empty; give the right answer.");
        _ends = rule.Flag("ends", false);
        bool judges = _contains.Length + _lacks.Length > 0 || _ends || _keys.Except(["contains", "lacks", "ends", "timeout"]).Any(rule.Has);
        if (!judges) throw new UserException($"{source}: the rule has no condition that a response could fail; give one of {all}.");
        _command = RewardCommand.Read(rule);
    }

    private TextRule(string? choice, string? math)
    {
        _choice = choice;
        _math = math;
    }

    /// <summary>The right answer of a mathematical problem, looked for in the response's last box.</summary>
    public static TextRule Math(string reference) => new(choice: null, math: reference);

    /// <summary>The letter of the right answer.</summary>
    public static TextRule Choice(char letter) => new(choice: letter.ToString(), math: null);

    /// <param name="ended">Whether the response ended by itself.</param>
    /// <returns>From 0 to 1.</returns>
    public float Reward(string response, bool ended) =>
        (_ends && !ended)
        || !Array.TrueForAll(_contains, word => word.IsMatch(response))
        || Array.Exists(_lacks, word => word.IsMatch(response))
        || (_matches is not null && !_matches.IsMatch(response))
        || (_number is not null && AnswerText.LastValue(response) != _number)
        || (_exact is not null && response.Trim() != _exact)
        || (_choice is not null && AnswerText.Choice(response) != _choice)
        || (_math is not null && !MathGrader.IsRight(AnswerText.Boxed(response), _math))
            ? 0 : _command?.Reward(response) ?? 1;

    /// <summary>What a response says, for votes: the boxed answer, the letter or the last number where the rule asks for one, else all of it.</summary>
    public string Answer(string response) =>
        _math is not null ? AnswerText.Boxed(response)
        : _choice is not null ? AnswerText.Choice(response)
        : _number is not null ? AnswerText.LastValue(response)?.ToString(CultureInfo.InvariantCulture) ?? ""
        : response.Trim();

    private static string Letter(string choice, string source) =>
        choice is [>= 'A' and <= AnswerText.LastChoice] ? choice : throw new UserException($"{source}: choice is '{choice}', but must be one letter from A to {AnswerText.LastChoice}.");

    private static Regex[] Words(ConfigJson rule, string key, string source) => [.. rule.Texts(key).Select(word => string.IsNullOrWhiteSpace(word)
        ? throw new UserException($"{source}: {key} has an empty word; give one with a letter in it, or leave it out.")
        : new Regex($@"(?<!\w){Regex.Escape(word)}(?!\w)", RegexOptions.IgnoreCase | RegexOptions.CultureInvariant))];

    /// <summary>Without backtracking, so that no response takes more than linear time.</summary>
    private static Regex Expression(string pattern, string source)
    {
        if (pattern.Length == 0) throw new UserException($"{source}: matches is empty, and any response matches that; give a regular expression, or leave it out.");
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
