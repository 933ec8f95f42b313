using System.Globalization;
using System.Numerics;
using System.Text;

namespace QSharp.Model.Grading;

/// <summary>Numbers in every notation.</summary>
internal sealed partial class AnswerParser
{
    private const int MostExponentDigits = 4;

    /// <summary>Digits with groups, decimals, a repeating part, an exponent, a base, or a fraction behind (a mixed number).</summary>
    private Expression Numeral()
    {
        string whole = WholePart(), decimals = "";
        if (Now.Is('_')) return Based(whole);
        bool isDecimal = Now.Is('.') && (whole.Length == 0 || Next.Kind == TokenKind.Digit || Next.Is("overline") || !StartsFactor(Next));
        if (isDecimal)
        {
            _at++;
            if (Now is { Kind: TokenKind.Digit, Space: false }) decimals = Digits();
        }
        BigInteger value = BigInteger.Parse("0" + whole + decimals, CultureInfo.InvariantCulture), scale = BigInteger.Pow(10, decimals.Length);
        if (Rational.Of(value, scale) is not { } number) return Fail();
        if (isDecimal && Now.Is("overline") && Next.Is('{') && Ahead(2).Kind == TokenKind.Digit) return Repeating(number, scale);
        if (Scientific(whole, isDecimal) is { } power) return power >= 0 ? Exactly(number.Times(Power10(power))) : Exactly(number.Over(Power10(-power)));
        return !isDecimal && Fraction() is { } part ? Exactly(number.Plus(part)) : new Number(number);
    }

    private static Rational Power10(int power) => Rational.Of(BigInteger.Pow(10, Math.Min(power, 2000)))!.Value;

    private Expression Exactly(Rational? number) => number is { } value ? new Number(value) : Fail();

    private string Digits()
    {
        StringBuilder digits = new(Now.Text);
        for (_at++; Now is { Kind: TokenKind.Digit, Space: false }; _at++) digits.Append(Now.Text);
        return digits.ToString();
    }

    private string WholePart()
    {
        if (Now.Kind != TokenKind.Digit) return "";
        string digits = Digits();
        if (digits.Length > 3 && Now.Kind != TokenKind.Group) return digits;
        while (GroupBegins() is >= 0 and var skip)
        {
            _at += skip;
            digits += Digits();
        }
        return digits;
    }

    /// <summary>How many tokens stand before a group of three digits that goes on with a number; −1 where there is none.</summary>
    private int GroupBegins()
    {
        if (Now.Kind == TokenKind.Group) return Next.Kind == TokenKind.Digit ? 1 : -1;
        int skip = groups && Now is { Space: false } && Now.Is(',') && !Next.Space ? 1 : Now.Space ? 0 : -1;
        if (skip < 0) return -1;
        for (int i = 0; i < 3; i++)
            if (Ahead(skip + i) is not { Kind: TokenKind.Digit } digit || (i > 0 && digit.Space)) return -1;
        if (Ahead(skip + 3) is { Kind: TokenKind.Digit, Space: false }) return -1;
        // "5 100/101" is a mixed number.
        return skip == 0 && Ahead(3).Is('/') && Ahead(0).Text != "0" ? -1 : skip;
    }

    /// <summary>52_8: digits and base are compared as they are written.</summary>
    private Words Based(string digits)
    {
        _at++;
        return new Words($"{digits}_{Script()}", null);
    }

    private Expression Repeating(Rational number, BigInteger scale)
    {
        _at += 2;
        string digits = Digits();
        if (!Take('}')) return Fail();
        Rational? part = Rational.Of(BigInteger.Parse(digits, CultureInfo.InvariantCulture), scale * (BigInteger.Pow(10, digits.Length) - 1));
        return part is { } value ? Exactly(number.Plus(value)) : Fail();
    }

    /// <summary>
    /// The power of ten of 1.6e3. With a sign, 2e-1 may be Euler's number less one: it is a power where the number has a point, or
    /// the power two digits.
    /// </summary>
    private int? Scientific(string whole, bool isDecimal)
    {
        if (Now is not { Kind: TokenKind.Letter, Space: false, Run: 1, Text: "e" or "E" }) return null;
        bool signed = Next.Is('-') || Next.Is('+');
        int from = signed ? 2 : 1, length = 0;
        while (Ahead(from + length) is { Kind: TokenKind.Digit, Space: false }) length++;
        if (length is 0 or > MostExponentDigits || Next.Space || (signed && !isDecimal && length < 2) || whole.Length + (isDecimal ? 1 : 0) == 0) return null;
        int power = int.Parse(string.Concat(tokens[(_at + from)..(_at + from + length)].Select(digit => digit.Text)), CultureInfo.InvariantCulture);
        bool negative = Next.Is('-');
        if (power > 2000) return null;
        _at += from + length;
        return negative ? -power : power;
    }

    /// <summary>The fraction of a mixed number: two whole numbers, the first smaller.</summary>
    private Rational? Fraction()
    {
        int from = _at;
        Rational? part = Now.Is("frac") ? Stacked() : Now is { Kind: TokenKind.Digit, Space: true } ? Slashed() : null;
        if (part is { } value && value.Numerator.Sign > 0 && value.Numerator < value.Denominator) return part;
        _at = from;
        return null;

        Rational? Stacked()
        {
            _at++;
            return Plain() is { } above && Plain() is { } below ? Rational.Of(above, below) : null;
        }

        Rational? Slashed()
        {
            BigInteger above = BigInteger.Parse(Digits(), CultureInfo.InvariantCulture);
            if (!Take('/') || Now.Kind != TokenKind.Digit) return null;
            return Rational.Of(above, BigInteger.Parse(Digits(), CultureInfo.InvariantCulture));
        }

        BigInteger? Plain()
        {
            bool braced = Take('{');
            if (Now.Kind != TokenKind.Digit) return null;
            string digits = braced ? Digits() : tokens[_at++].Text;
            return braced && !Take('}') ? null : BigInteger.Parse(digits, CultureInfo.InvariantCulture);
        }
    }
}
