namespace QSharp.Model.Grading;

/// <summary>Sums, products, powers and what they are made of.</summary>
internal sealed partial class AnswerParser
{
    private Expression Sum()
    {
        if (++_nesting > DeepestNesting) return Fail();
        List<Expression> terms = [];
        bool first = true;
        while (true)
        {
            bool negative = false, isSigned = false;
            Operator? both = null;
            for (; ; _at++, isSigned = true)
            {
                if (Now.Is('-')) negative = !negative;
                else if (Now.Is("pm") || Now.Is("mp")) both = Now.Is("pm") ? Operator.PlusMinus : Operator.MinusPlus;
                else if (!Now.Is('+')) break;
            }
            if (!first && !isSigned) break;
            first = false;
            Expression term = Product();
            if (negative) term = term is Number number ? new Number(number.Value.Negated()) : Operate(Operator.Negate, term);
            if (both is not { } kind)
            {
                terms.Add(term);
                continue;
            }
            _hasPlusMinus = true;
            terms = [Operate(kind, terms.Count == 0 ? new Number(Rational.Of(0)!.Value) : Total(terms), term)];
        }
        _nesting--;
        return Total(terms);
    }

    private Expression Total(List<Expression> terms) => terms.Count == 1 ? terms[0] : Operate(Operator.Add, [.. terms]);

    private Expression Product()
    {
        List<Expression> factors = [Factor()];
        while (!_failed)
        {
            if (Take('*')) factors.Add(Signed());
            else if (Take('/'))
            {
                if (UnitLength(_at) is > 0 and var skipped) SkipUnit(skipped);
                else factors = [Operate(Operator.Divide, Whole(factors), Signed())];
            }
            else if (Now.Kind == TokenKind.Unit) SkipUnit(1);
            else if (UnitLength(_at) is > 0 and var unit) SkipUnit(unit);
            else if (!StartsFactor(Now)) break;
            else if (Now.Kind == TokenKind.Digit && tokens[_at - 1].Kind == TokenKind.Digit) return Fail();   // "3 5" is no number
            else factors.Add(Factor());
        }
        return Whole(factors);
    }

    private Expression Whole(List<Expression> factors)
    {
        if (factors.Count == 1) return factors[0];
        // A matrix takes a factor into its entries.
        if (factors.Count == 2 && factors[1] is Matrix matrix && factors[0].IsScalar)
            return new Matrix(matrix.Kind, [.. matrix.Rows.Select(row => row.Select(entry => Operate(Operator.Multiply, factors[0], entry)).ToArray())]);
        return Operate(Operator.Multiply, [.. factors]);
    }

    /// <summary>A factor behind · or /, which may have a sign.</summary>
    private Expression Signed()
    {
        bool negative = false;
        for (; Now.Is('-') || Now.Is('+'); _at++) negative ^= Now.Is('-');
        Expression factor = Factor();
        return negative ? Operate(Operator.Negate, factor) : factor;
    }

    private bool StartsFactor(Token token) => token.Kind switch
    {
        TokenKind.Digit or TokenKind.Letter or TokenKind.Magnitude or TokenKind.Begin => true,
        TokenKind.Sign => token.Text is "(" or "[" or "{" or "\\{" || (token.Text == "|" && _bars == 0) || (token.Text == "." && Next.Kind == TokenKind.Digit),
        TokenKind.Command => token.Text is not ("pm" or "mp" or "cup" or "le" or "ge" or "ne" or "in" or "rangle" or "rfloor" or "rceil"),
        _ => false,
    };

    /// <summary>How many tokens of a bare unit stand here, behind a number: apples, cm, th.</summary>
    private int UnitLength(int at)
    {
        if (at >= tokens.Length || tokens[at] is not { Kind: TokenKind.Letter, Run: > 1 and var run } first) return 0;
        if (first.IsText || run > 4 || (first.Space && run > 2)) return run;
        return LexerNames.Units.Contains(string.Concat(tokens[at..(at + run)].Select(letter => letter.Text))) ? run : 0;
    }

    private void SkipUnit(int length)
    {
        _at += length;
        if (Take('^')) Exponent();
    }

    private Expression Factor()
    {
        Expression value = Primary();
        while (!_failed)
        {
            if (Take('^'))
            {
                if (Exponent() is { } exponent) value = Operate(Operator.Power, value, exponent);
                else if (_inAngle && tokens[_at - 1] is { Text: "°" or "}" }) value = Degrees(value);
            }
            else if (Take('°')) value = _inAngle ? Degrees(value) : value;
            else if (Take('!')) value = Operate(Operator.Factorial, value);
            else if (Take('%')) value = Operate(Operator.Percent, value);
            else return value;
        }
        return value;
    }

    private Expression Degrees(Expression value) =>
        Operate(Operator.Multiply, value, Operate(Operator.Divide, new Symbol(Symbol.Pi), new Number(Rational.Of(180)!.Value)));

    /// <summary>Null where it is no power but a degree, or the end of an ordinal number.</summary>
    private Expression? Exponent()
    {
        bool braced = Now.Is('{');
        int inside = braced ? _at + 1 : _at;
        Token first = inside < tokens.Length ? tokens[inside] : default;
        bool isOrdinal = first is { Kind: TokenKind.Letter, Run: 2 } && inside + 1 < tokens.Length
            && first.Text + tokens[inside + 1].Text is "st" or "nd" or "rd" or "th";
        if (first.Is('°') || isOrdinal)
        {
            _at = inside + (isOrdinal ? 2 : 1);
            if (braced && !Take('}')) return Fail();
            return null;
        }
        return braced ? Braced(isSet: false) : Deeper(Signless);

        Expression Signless()
        {
            if (Take('-')) return Operate(Operator.Negate, Deeper(Signless));
            Expression primary = Primary();
            return Take('^') ? Operate(Operator.Power, primary, Exponent() ?? Fail()) : primary;
        }
    }

    /// <summary>Parses one level further down, if that is not too deep.</summary>
    private Expression Deeper(Func<Expression> parse)
    {
        if (++_nesting > DeepestNesting) return Fail();
        Expression parsed = parse();
        _nesting--;
        return parsed;
    }

    private Expression Primary() => Now switch
    {
        { Kind: TokenKind.Digit } => Numeral(),
        { Kind: TokenKind.Letter } => Variable(),
        { Kind: TokenKind.Magnitude } => new Number(Rational.Of(LexerNames.Magnitude(tokens[_at++].Text)!.Value)!.Value),
        { Kind: TokenKind.Begin } => Rows(),
        { Kind: TokenKind.Command } => Command(),
        { Kind: TokenKind.Sign, Text: "." } when Next.Kind == TokenKind.Digit => Numeral(),
        { Kind: TokenKind.Sign, Text: "(" or "[" } => Bracketed(),
        { Kind: TokenKind.Sign, Text: "{" or "\\{" } => Braced(Now.Text == "\\{"),
        { Kind: TokenKind.Sign, Text: "|" } => Bars(),
        _ => Fail(),
    };

    private Expression Bars()
    {
        _at++;
        _bars++;
        Expression inside = Sum();
        _bars--;
        return Take('|') ? Operate(Operator.Abs, inside) : Fail();
    }

    private Expression Variable()
    {
        Token first = Now;
        int length = first.Run > 3 || (first.IsText && first.Run > 1) ? first.Run : 1;
        string name = length == 1 ? first.Text : string.Concat(tokens[_at..Math.Min(_at + length, tokens.Length)].Select(letter => letter.Text));
        _at += length;
        return new Symbol(Subscripted(name));
    }

    /// <summary>A name with its subscript and primes.</summary>
    private string Subscripted(string name)
    {
        if (Take('_')) name += "_" + Script();
        while (Take('\'')) name += "'";
        return name;
    }

    /// <summary>A subscript as text: one token, or a group.</summary>
    private string Script()
    {
        int from = _at, depth = 0;
        do
        {
            if (Now.Is('{')) depth++;
            if (Now.Is('}')) depth--;
            if (Now.Kind == TokenKind.End || depth < 0) return Fail().ToString();
            _at++;
        }
        while (depth > 0);
        if (_at - from == 1 && tokens[from].Kind == TokenKind.Digit)
            while (Now is { Kind: TokenKind.Digit, Space: false }) _at++;
        return string.Concat(tokens[from.._at].Where(token => !token.Is('{') && !token.Is('}')).Select(token => token.Text));
    }
}
