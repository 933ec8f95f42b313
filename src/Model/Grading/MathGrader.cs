using QSharp.Model.Grading;

namespace QSharp.Model;

/// <summary>
/// Whether a mathematical answer, LaTeX or plain, is equal to another: as normalised text, as exact numbers, as tuples, intervals,
/// sets and matrices of such, or as expressions, by their values at random points. Symmetric, never throws, and bounded in time
/// on any input. The rules are those of Math-Verify and Hendrycks's MATH grader as far as they agree with each other; decimals
/// are exact here and not rounded to six places.
/// </summary>
public static class MathGrader
{
    /// <summary>Characters beyond which an answer is compared as text alone.</summary>
    private const int LongestAnswer = 2000;

    /// <summary>Whether two answers (texts as they stand in a box, or that hold a box) are equal.</summary>
    public static bool AreEqual(string answer, string reference)
    {
        if (string.Equals(answer, reference, StringComparison.Ordinal)) return true;
        return AreEqual(Read(answer), Read(reference));
    }

    /// <summary>Whether an answer was given and is equal to the reference.</summary>
    public static bool IsRight(string answer, string reference) => answer.Length > 0 && AreEqual(answer, reference);

    /// <summary>One spelling for the answers that are read as the same numbers and structures.</summary>
    public static string NormalForm(string answer)
    {
        Reading reading = Read(answer);
        return reading.Joined is { } expression ? NormalFormWriter.Write(expression) : reading.Text;
    }

    private static bool AreEqual(Reading a, Reading b)
    {
        if (a.Text == b.Text) return true;
        if (a.Joined is null || b.Joined is null) return false;
        AnswerComparison comparison = new();
        if (comparison.Equal(a.Joined, b.Joined)) return true;
        // 1,600 may be two numbers where the other side says so; two plain numbers are numbers.
        if (a.Separate is null && b.Separate is null || a.Joined is Number && b.Joined is Number) return false;
        return (a.Separate ?? a.Joined) is var left && (b.Separate ?? b.Joined) is var right && comparison.Equal(left, right);
    }

    private static Reading Read(string answer)
    {
        if (answer.Contains("\\boxed", StringComparison.Ordinal) || answer.Contains("\\fbox", StringComparison.Ordinal)) answer = AnswerText.Boxed(answer);
        if (answer.Length > LongestAnswer) return new Reading(answer.Trim(), null, null);
        Token[] tokens = Lexer.Tokens(answer);
        Expression? joined = new AnswerParser(tokens, groups: true).Parse();
        bool hasComma = Array.Exists(tokens, token => token.Is(','));
        Expression? separate = hasComma ? new AnswerParser(tokens, groups: false).Parse() : null;
        return new Reading(Text(tokens), joined ?? separate, separate);
    }

    /// <summary>Tokens as text, with spaces only where they part two words or numbers.</summary>
    private static string Text(Token[] tokens) => string.Concat(tokens.Select((token, i) =>
        (i > 0 && token.Space && IsWord(token) && IsWord(tokens[i - 1]) ? " " : "") + (token.Kind == TokenKind.Command ? "\\" : "") + token.Text));

    private static bool IsWord(Token token) => token.Kind is TokenKind.Digit or TokenKind.Letter or TokenKind.Command or TokenKind.Magnitude or TokenKind.Unit;

    /// <param name="Text">For what cannot be read otherwise.</param>
    /// <param name="Joined">With tight commas before three digits as marks of thousands.</param>
    /// <param name="Separate">With all commas as separators, where there are any.</param>
    private readonly record struct Reading(string Text, Expression? Joined, Expression? Separate);
}
