using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>What becomes of the matches of a pattern.</summary>
internal enum SplitBehavior { Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous }

/// <summary>
/// Cuts a piece at the matches of a regular expression. Such expressions count a character beyond U+FFFF as one letter, digit or sign,
/// but .NET's see two surrogates, so the matching runs over a text of the same length in characters where each of those has a stand-in
/// of its category. So has the long s where a pattern ignores case: there it is an s, but not for .NET.
/// </summary>
/// <param name="pattern">In the syntax that Oniguruma and .NET share.</param>
/// <param name="invert">Whether matches and the text between them change places.</param>
internal sealed class SplitPreTokenizer(string pattern, SplitBehavior behavior, bool invert) : PreTokenizer
{
    /// <summary>GPT-2's cut: contractions, words, numbers and signs, each with the space in front of it.</summary>
    public const string Gpt2 = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    private const char LongS = '\u017F';
    private static readonly Lazy<char[]> StandIns = new(FindStandIns);
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    private readonly bool _ignoresCase = pattern.Contains("(?i", StringComparison.Ordinal);
    private readonly Regex _regex = new(pattern, RegexOptions.CultureInvariant, Limit);

    public override string Meaning => $"Split {pattern.Length}:{pattern} {behavior}{(invert ? " inverted" : "")};";

    public static SplitPreTokenizer Of(Component component)
    {
        Component given = component.Inner("pattern");
        string kind = given.Only();
        if (kind is not ("Regex" or "String")) throw component.Unsupported($"a pattern of the kind '{kind}'");
        string pattern = kind == "Regex" ? given.Text(kind) : Regex.Escape(given.Text(kind));
        if (!Enum.TryParse(component.Text("behavior"), out SplitBehavior behavior) || !Enum.IsDefined(behavior))
            throw component.Unsupported($"the behavior '{component.Text("behavior")}'");
        try
        {
            return new SplitPreTokenizer(pattern, behavior, component.Flag("invert", false));
        }
        catch (ArgumentException error)
        {
            throw component.Unsupported($"the regular expression {pattern} ({error.Message.TrimEnd('.')})");
        }
    }

    public override void Split(Piece piece, List<Piece> parts)
    {
        List<(int Start, int End, bool IsMatch)> spans = Spans(piece.Text.Span);
        int? last = null;   // where the part that may still grow begins
        for (int i = 0; i < spans.Count; i++)
        {
            (int start, int end, bool isMatch) = spans[i];
            bool follows = i + 1 < spans.Count, nextIsMatch = follows && spans[i + 1].IsMatch;
            bool joinsNext = follows && behavior switch
            {
                SplitBehavior.Contiguous => isMatch == nextIsMatch,
                SplitBehavior.MergedWithPrevious => nextIsMatch && !isMatch,
                SplitBehavior.MergedWithNext => isMatch && !nextIsMatch,
                _ => false,
            };
            last ??= start;
            if (joinsNext) continue;
            if (end > last && !(isMatch && behavior == SplitBehavior.Removed)) parts.Add(piece.Part(last.Value, end));
            last = null;
        }
    }

    /// <summary>The matches and what lies between them, in order.</summary>
    private List<(int Start, int End, bool IsMatch)> Spans(ReadOnlySpan<char> text)
    {
        int[]? places = null;
        bool needsStandIns = text.ContainsAnyInRange('\uD800', '\uDFFF') || (_ignoresCase && text.Contains(LongS));
        ReadOnlySpan<char> matched = needsStandIns ? StandIn(text, out places) : text;
        List<(int, int, bool)> spans = [];
        int end = 0;
        try
        {
            foreach (ValueMatch match in _regex.EnumerateMatches(matched))
            {
                int start = Place(match.Index), stop = Place(match.Index + match.Length);
                if (start > end) spans.Add((end, start, invert));
                spans.Add((start, stop, !invert));
                end = stop;
            }
        }
        catch (RegexMatchTimeoutException)
        {
            throw new UserException($"The tokenizer's regular expression {pattern} did not get through a text of {text.Length} characters within "
                + $"{Limit.TotalSeconds} s; shorten the text or use another model.");
        }
        if (end < text.Length) spans.Add((end, text.Length, invert));
        return spans;

        int Place(int index) => places?[index] ?? index;
    }

    /// <param name="text">Valid UTF-16.</param>
    /// <param name="places">Where in it each character of the result stands, and its length.</param>
    private char[] StandIn(ReadOnlySpan<char> text, out int[] places)
    {
        List<char> characters = new(text.Length);
        List<int> starts = new(text.Length);
        int at = 0;
        foreach (Rune rune in text.EnumerateRunes())
        {
            char character = rune.IsBmp ? (char)rune.Value : StandIns.Value[(int)Rune.GetUnicodeCategory(rune)];
            characters.Add(_ignoresCase && character == LongS ? 's' : character);
            starts.Add(at);
            at += rune.Utf16SequenceLength;
        }
        starts.Add(at);
        places = [.. starts];
        return [.. characters];
    }

    /// <summary>For each category a character of it that no pattern names: the last one below U+FFFF.</summary>
    private static char[] FindStandIns()
    {
        char[] found = new char[(int)UnicodeCategory.OtherNotAssigned + 1];
        for (int code = 0; code <= char.MaxValue; code++) found[(int)char.GetUnicodeCategory((char)code)] = (char)code;
        return found;
    }
}
