using System.Buffers;
using System.Globalization;
using System.Text;

namespace QSharp.Model;

/// <summary>A token that is found in a text as it stands, before the model's merges.</summary>
/// <param name="SingleWord">Only where no letter, digit or underscore touches it.</param>
/// <param name="LeftStrip">It takes the spaces in front of it along.</param>
/// <param name="RightStrip">It takes the spaces behind it along.</param>
/// <param name="Normalized">It is looked for in the normalized text, itself normalized; otherwise in the raw text.</param>
/// <param name="Special">It marks something, such as the end, and is left out of plain text.</param>
internal sealed record AddedToken(
    int Id, string Content, bool SingleWord, bool LeftStrip, bool RightStrip, bool Normalized, bool Special);

/// <summary>A stretch of text, or a token that was found in it.</summary>
internal readonly record struct Section(string Text, int? Id, bool AtStart);

/// <summary>Finds added tokens: at each place the longest, from left to right, in linear time.</summary>
internal sealed class AddedTokens
{
    private readonly Dictionary<string, AddedToken> _tokens = [];
    private readonly Dictionary<string, AddedToken>.AlternateLookup<ReadOnlySpan<char>> _lookup;
    private readonly SearchValues<string> _any;
    private readonly int[] _lengths;

    /// <param name="tokens">By the text to look for; of two with the same text the first counts.</param>
    public AddedTokens(IEnumerable<(string Pattern, AddedToken Token)> tokens)
    {
        foreach ((string pattern, AddedToken token) in tokens)
            if (pattern.Length > 0) _tokens.TryAdd(pattern, token);
        _lookup = _tokens.GetAlternateLookup<ReadOnlySpan<char>>();
        _any = SearchValues.Create([.. _tokens.Keys], StringComparison.Ordinal);
        _lengths = [.. _tokens.Keys.Select(pattern => pattern.Length).Distinct().OrderDescending()];
    }

    /// <summary>Cuts a section at the tokens in it; empty stretches are left out.</summary>
    public IEnumerable<Section> Split(Section section)
    {
        string text = section.Text;
        int done = 0;   // everything before it has been given
        for (int from = 0; Find(text, ref from) is AddedToken token;)
        {
            int start = from, end = from + Length(text, from);
            from = end;
            if (token.SingleWord && (IsWordBefore(text, start) || IsWordAt(text, end))) continue;
            if (token.LeftStrip) while (start > done && char.IsWhiteSpace(text[start - 1])) start--;
            if (token.RightStrip) while (end < text.Length && char.IsWhiteSpace(text[end])) end++;
            if (start > done) yield return new Section(text[done..start], null, section.AtStart && done == 0);
            yield return new Section("", token.Id, false);
            done = end;
        }
        if (done == 0 && text.Length > 0) yield return section;
        else if (done < text.Length) yield return new Section(text[done..], null, false);
    }

    /// <summary>The next token at or after a place, which moves to it; null if there is none.</summary>
    private AddedToken? Find(string text, ref int from)
    {
        int at = text.AsSpan(from).IndexOfAny(_any);
        if (at < 0) return null;
        from += at;
        return _lookup[text.AsSpan(from, Length(text, from))];
    }

    /// <summary>The length of the longest token at a place where there is one.</summary>
    private int Length(string text, int at) =>
        _lengths.First(length => length <= text.Length - at && _lookup.ContainsKey(text.AsSpan(at, length)));

    private static bool IsWordBefore(string text, int end) =>
        Rune.DecodeLastFromUtf16(text.AsSpan(0, end), out Rune rune, out _) == OperationStatus.Done && IsWord(rune);

    private static bool IsWordAt(string text, int start) =>
        Rune.DecodeFromUtf16(text.AsSpan(start), out Rune rune, out _) == OperationStatus.Done && IsWord(rune);

    private static bool IsWord(Rune rune) => Rune.GetUnicodeCategory(rune)
        is <= UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.ConnectorPunctuation;
}
