namespace QSharp.Model.Grading;

/// <summary>
/// Reads tokens as an answer: lists, relations, unions, brackets. Nothing is thrown; what cannot be read is null. One parser reads
/// one answer. <c>AnswerParser.Terms.cs</c> holds sums, products and what they are made of.
/// </summary>
/// <param name="groups">Whether a tight comma before three digits groups them (1,600 is a number) or separates (two numbers).</param>
internal sealed partial class AnswerParser(Token[] tokens, bool groups)
{
    private const int DeepestNesting = 100, DeepestExpression = 200;

    private int _at, _nesting, _bars, _grouping;
    private bool _failed, _inAngle, _hasPlusMinus;

    private Token Now => _at < tokens.Length ? tokens[_at] : default;

    private Token Next => Ahead(1);

    public Expression? Parse()
    {
        Expression answer = List(closing: false);
        return _failed || _at < tokens.Length ? null : answer;
    }

    private Token Ahead(int count) => _at + count < tokens.Length ? tokens[_at + count] : default;

    private bool Take(char sign)
    {
        if (!Now.Is(sign)) return false;
        _at++;
        return true;
    }

    private bool Take(string text)
    {
        if (!Now.Is(text)) return false;
        _at++;
        return true;
    }

    /// <summary>Marks the answer as one that cannot be read; every loop ends at the next token.</summary>
    private Expression Fail()
    {
        _failed = true;
        _at = tokens.Length;
        return new Number(Rational.One);
    }

    private Expression Checked(Expression expression) => expression.Depth > DeepestExpression ? Fail() : expression;

    private Expression Operate(Operator kind, params Expression[] arguments) => Checked(new Operation(kind, arguments));

    /// <summary>One answer, or several between commas.</summary>
    private Expression List(bool closing)
    {
        List<Expression> items = Items(out bool isChoice);
        if (items.Count == 0) return closing ? new Collection([]) : Fail();
        return items.Count == 1 ? items[0] : Flat(items, isChoice);
    }

    /// <param name="isChoice">Whether "or" stands between any two.</param>
    private List<Expression> Items(out bool isChoice)
    {
        List<Expression> items = [];
        isChoice = false;
        while (_at < tokens.Length && !Closes(Now))
        {
            items.Add(Item());
            bool separated = false;
            for (; Separates(Now); _at++, separated = true) isChoice |= Now.Is(LexerNames.Or);   // "1, 2, or 3"
            if (!separated) break;
        }
        return items;
    }

    private static bool Separates(Token token) => token.Is(',') || token.Is(';') || token.Is(LexerNames.Or);

    private static bool Closes(Token token) =>
        token.Kind is TokenKind.Finish or TokenKind.Row || (token.Kind == TokenKind.Sign && token.Text is ")" or "]" or "}" or "\\}" or "&");

    /// <summary>Bare lists inside of a list, such as both values of ±, are part of it.</summary>
    private static Collection Flat(List<Expression> items, bool isChoice) =>
        new([.. items.SelectMany(item => item is Collection inner ? inner.Items : [item])], isChoice);

    /// <summary>One answer: words, or a relation, or a value.</summary>
    private Expression Item()
    {
        if (++_nesting > DeepestNesting) return Fail();
        Take('=');   // "= 5"
        Expression item = Phrase() ?? Relate();
        _nesting--;
        return item;
    }

    /// <summary>Letters and nothing else until the item ends; null where it is something else.</summary>
    private Words? Phrase()
    {
        int end = _at, longest = 0;
        bool isText = false;
        List<string> words = [];
        for (; end < tokens.Length && tokens[end].Kind == TokenKind.Letter; end++)
        {
            if (tokens[end].Run > 0) words.Add("");
            if (words.Count == 0) return null;
            words[^1] += tokens[end].Text;
            longest = Math.Max(longest, tokens[end].Run);
            isText |= tokens[end].IsText;
        }
        if (longest < 2 || (end < tokens.Length && !Closes(tokens[end]) && !Separates(tokens[end]))) return null;
        int from = _at;
        _at = end;
        string text = string.Join(' ', words).ToLowerInvariant();
        if (isText || longest > 3) return new Words(text, null);
        return new Words(text, Checked(new Operation(Operator.Multiply, [.. tokens[from..end].Select(letter => new Symbol(letter.Text))])));
    }

    private Expression Relate()
    {
        List<Expression> terms = [Unite()];
        List<string> signs = [];
        while (RelationSign(Now) is { } sign)
        {
            _at++;
            signs.Add(sign);
            terms.Add(Unite());
        }
        return signs.Count == 0 ? Spread(terms[0]) : Relations.Of(signs, terms, Spread);
    }

    private static string? RelationSign(Token token) => token.Kind switch
    {
        TokenKind.Sign when token.Text is "=" or "<" or ">" or ":" => token.Text,
        TokenKind.Command when token.Text is "le" or "ge" or "ne" or "in" => token.Text,
        _ => null,
    };

    private Expression Unite()
    {
        Expression first = Sum();
        if (!Now.Is("cup")) return first;
        List<Expression> parts = [first];
        while (Take("cup")) parts.Add(Sum());
        return new Union([.. parts]);
    }

    /// <summary>Both values of a ±, once the whole value is read.</summary>
    private Expression Spread(Expression expression) =>
        _hasPlusMinus && _grouping == 0 && expression.IsScalar && Choose(expression, upper: true) is var upper && upper != expression
            ? new Collection([upper, Choose(expression, upper: false)])
            : expression;

    private static Expression Choose(Expression expression, bool upper)
    {
        if (expression is not Operation operation) return expression;
        Expression[] arguments = [.. operation.Arguments.Select(argument => Choose(argument, upper))];
        if (operation.Kind is Operator.PlusMinus or Operator.MinusPlus)
        {
            bool plus = upper == (operation.Kind == Operator.PlusMinus);
            return new Operation(Operator.Add, arguments[0], plus ? arguments[1] : new Operation(Operator.Negate, arguments[1]));
        }
        return arguments.SequenceEqual(operation.Arguments, ReferenceEqualityComparer.Instance) ? expression : new Operation(operation.Kind, arguments);
    }

    /// <summary>What stands in round or square brackets: one value, or a tuple or interval.</summary>
    private Expression Bracketed()
    {
        char open = Now.Text[0];
        _at++;
        (int bars, _bars) = (_bars, 0);
        bool inAngle = _inAngle;
        _inAngle &= open == '(';
        _grouping++;
        List<Expression> items = Items(out _);
        _grouping--;
        _bars = bars;
        _inAngle = inAngle;
        char close = Now.Is(')') ? ')' : Now.Is(']') ? ']' : ' ';
        if (close == ' ' || items.Count == 0) return Fail();
        _at++;
        return items.Count == 1 && (open == '(') == (close == ')') ? items[0] : new Sequence(open, close, [.. items]);
    }

    private Expression Braced(bool isSet)
    {
        _at++;
        (int bars, int grouping) = (_bars, _grouping);
        (_bars, _grouping) = (0, isSet ? 0 : grouping + 1);
        Expression inside = List(closing: isSet);
        (_bars, _grouping) = (bars, grouping);
        if (!Take(isSet ? "\\}" : "}")) return Fail();
        return isSet && inside is not Collection ? new Collection([inside]) : inside;
    }

    private Expression Rows()
    {
        string environment = Now.Text;
        bool isMatrix = environment is "pmatrix" or "bmatrix" or "Bmatrix" or "matrix" or "vmatrix" or "Vmatrix" or "smallmatrix" or "array";
        if (!isMatrix) return Fail();
        _at++;
        List<Expression[]> rows = [];
        List<Expression> row = [];
        while (Now.Kind != TokenKind.Finish && !_failed)
        {
            row.Add(Item());
            if (Take('&')) continue;
            rows.Add([.. row]);
            row.Clear();
            if (Now.Kind == TokenKind.Row) _at++;
            else if (Now.Kind != TokenKind.Finish) return Fail();
        }
        _at++;
        return new Matrix(environment[0] is 'v' or 'V' ? '|' : ' ', [.. rows]);
    }
}
