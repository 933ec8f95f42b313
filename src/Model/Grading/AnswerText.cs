using System.Globalization;
using System.Text.RegularExpressions;

namespace QSharp.Model;

/// <summary>Finds the answer in a response or a solution.</summary>
public static class AnswerText
{
    /// <summary>Letters of choices go from A to here: a lone I is a word.</summary>
    public const char LastChoice = 'H';

    private const string Box = "\\boxed", Frame = "\\fbox";

    private static readonly Regex _numbers = new(@"[-−]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)", RegexOptions.NonBacktracking);

    private static readonly Regex _bracketed = new(@"\(([A-H])\)"), _alone = new(@"(?<![\w'’])([A-H])(?![\w'’])");

    /// <summary>
    /// What stands in the last <c>\boxed{…}</c> whose braces are balanced, or behind <c>\boxed</c> without braces; empty where
    /// there is none. Linear in the text.
    /// </summary>
    public static string Boxed(string text)
    {
        Stack<int> open = new();   // where an open group's inside begins; negative: it is a box's
        int from = -1, to = -1;   // of the answer; −1 as its end: it has no braces
        for (int at = 0; at < text.Length; at++)
        {
            char c = text[at];
            if (c == '\\')
            {
                int length = Starts(text, at, Box) ? Box.Length : Starts(text, at, Frame) ? Frame.Length : 0;
                if (length == 0)
                {
                    at++;   // an escaped brace opens and closes nothing
                    continue;
                }
                int inside = at + length;
                while (inside < text.Length && text[inside] == ' ') inside++;
                if (inside < text.Length && text[inside] == '{') open.Push(-inside - 1);
                else if (inside < text.Length && inside > from) (from, to) = (inside, -1);
                at = inside < text.Length && text[inside] == '{' ? inside : at + length - 1;
            }
            else if (c == '{') open.Push(at + 1);
            else if (c == '}' && open.TryPop(out int begin) && begin < 0 && -begin > from) (from, to) = (-begin, at);
        }
        return from < 0 ? "" : text[from..(to < 0 ? Unbraced(text, from) : to)].Trim();
    }

    /// <summary>GSM8K: the number behind <c>####</c>, or else the last number; without commas; empty where there is none.</summary>
    public static string Number(string text)
    {
        int mark = text.LastIndexOf("####", StringComparison.Ordinal);
        Match found = mark >= 0 ? _numbers.Match(text, mark + 4) : Match.Empty;
        return found.Success ? Plain(text, found) : LastNumber(text);
    }

    /// <summary>The last number of a text, without commas; empty where there is none. In "9-4" it is 4.</summary>
    public static string LastNumber(string text) => _numbers.Matches(text).LastOrDefault() is { } found ? Plain(text, found) : "";

    /// <summary>The same as a number; null where there is none.</summary>
    public static decimal? LastValue(string text) =>
        decimal.TryParse(LastNumber(text), NumberStyles.Number, CultureInfo.InvariantCulture, out decimal number) ? number : null;

    /// <summary>
    /// The letter of a choice: the one in the last box, or else the last in brackets, or else the last that stands alone; empty where
    /// there is none.
    /// </summary>
    public static string Choice(string text)
    {
        if (Boxed(text) is { Length: > 0 } boxed) text = boxed;
        Match found = _bracketed.Matches(text).LastOrDefault() ?? _alone.Matches(text).LastOrDefault() ?? Match.Empty;
        return found.Groups[1].Value;
    }

    /// <summary>A sign straight behind a digit or a bracket takes away; it is no part of the number.</summary>
    private static string Plain(string text, Match found)
    {
        bool isMinus = found.Value[0] is '-' or '−' && found.Index > 0 && (char.IsAsciiDigit(text[found.Index - 1]) || text[found.Index - 1] is ')');
        return (isMinus ? found.Value[1..] : found.Value).Replace(",", "", StringComparison.Ordinal).Replace('−', '-');
    }

    private static bool Starts(string text, int at, string command) =>
        string.CompareOrdinal(text, at, command, 0, command.Length) == 0 && !(at + command.Length < text.Length && char.IsAsciiLetter(text[at + command.Length]));

    /// <summary>Where the answer ends that has no braces: at the formula's or line's end, else at the next space.</summary>
    private static int Unbraced(string text, int from)
    {
        int word = text.Length;
        for (int at = from; at < text.Length; at++)
        {
            if (text[at] is '$' or '\n' || (text[at] == '\\' && at + 1 < text.Length && text[at + 1] is ')' or ']')) return at;
            if (text[at] == ' ' && word == text.Length) word = at;
        }
        return word;
    }
}
