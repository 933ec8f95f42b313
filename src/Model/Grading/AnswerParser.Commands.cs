namespace QSharp.Model.Grading;

/// <summary>Commands: fractions, roots, functions, named symbols.</summary>
internal sealed partial class AnswerParser
{
    private Expression Command()
    {
        string name = Now.Text;
        _at++;
        switch (name)
        {
            case "frac": return Operate(Operator.Divide, Argument(), Argument());
            case "binom": return Operate(Operator.Binomial, Argument(), Argument());
            case "sqrt": return Root();
            case "pi": return new Symbol(Subscripted(Symbol.Pi));
            case "infty": return new Symbol(Symbol.Infinity);
            case "emptyset": return new Collection([]);
            case "reals": return Relations.Reals;
            case "lfloor": return Closed(Operator.Floor, "rfloor");
            case "lceil": return Closed(Operator.Ceiling, "rceil");
            case "langle": return Angled();
            case "abs": return Operate(Operator.Abs, Argument());
            case "overline" or "bar" or "vec" or "hat" or "widehat" or "overrightarrow" or "underline" or "tilde":
                return new Symbol(Subscripted(name + " " + Script()));
            case "le" or "ge" or "ne" or "in" or "cup" or "pm" or "mp": return Fail();
        }
        return Function(name) is { } kind ? Apply(kind) : new Symbol(Subscripted("\\" + name));
    }

    private static Operator? Function(string name) => name switch
    {
        "sin" => Operator.Sin,
        "cos" => Operator.Cos,
        "tan" => Operator.Tan,
        "cot" => Operator.Cot,
        "sec" => Operator.Sec,
        "csc" => Operator.Csc,
        "arcsin" => Operator.Arcsin,
        "arccos" => Operator.Arccos,
        "arctan" => Operator.Arctan,
        "sinh" => Operator.Sinh,
        "cosh" => Operator.Cosh,
        "tanh" => Operator.Tanh,
        "ln" => Operator.Ln,
        "log" or "lg" => Operator.Log,
        "exp" => Operator.Exp,
        _ => null,
    };

    /// <summary>A group, or the one digit, letter or command that TeX takes where there is none.</summary>
    private Expression Argument() => Deeper(() =>
    {
        if (Now.Is('{')) return Braced(isSet: false);
        return Now.Kind == TokenKind.Digit ? new Number(Rational.Of(tokens[_at++].Text[0] - '0')!.Value) : Primary();
    });

    /// <summary>√13 without braces is meant as a root of 13, although TeX would take the first digit alone.</summary>
    private Expression Root()
    {
        Expression? degree = null;
        if (Take('['))
        {
            degree = Sum();
            if (!Take(']')) return Fail();
        }
        Expression radicand = Deeper(() => Now.Is('{') ? Braced(isSet: false) : Primary());
        return Operate(Operator.Root, radicand, degree ?? new Number(Rational.Of(2)!.Value));
    }

    private Expression Closed(Operator kind, string close)
    {
        Expression inside = Sum();
        return Take(close) ? Operate(kind, inside) : Fail();
    }

    private Expression Angled()
    {
        List<Expression> items = Items(out _);
        return Take("rangle") && items.Count > 0 ? new Sequence('<', '>', [.. items]) : Fail();
    }

    /// <summary>A function with its power, base and argument: sin² 2x, log_2(8).</summary>
    private Expression Apply(Operator kind)
    {
        Expression? power = null, basis = null;
        for (; ; )
        {
            if (power is null && Take('^')) power = Exponent() ?? Fail();
            else if (basis is null && kind == Operator.Log && Take('_')) basis = Argument();
            else break;
        }
        bool inAngle = _inAngle;
        _inAngle = kind is >= Operator.Sin and <= Operator.Csc;
        Expression argument = Deeper(() => Now.Is('(') || Now.Is('[') || Now.Is('{') ? Primary() : Juxtaposed());
        _inAngle = inAngle;
        bool isInverse = power is Number { Value: var value } && value == Rational.One.Negated();
        if (isInverse && kind is Operator.Sin or Operator.Cos or Operator.Tan) return Operate(kind + (Operator.Arcsin - Operator.Sin), argument);
        Expression applied = kind == Operator.Log ? Operate(kind, argument, basis ?? new Number(Rational.Of(10)!.Value)) : Operate(kind, argument);
        return power is null ? applied : Operate(Operator.Power, applied, power);
    }

    /// <summary>Factors that stand together behind a function, until another function or a sign.</summary>
    private Expression Juxtaposed()
    {
        List<Expression> factors = [Signed()];
        while (!_failed && StartsFactor(Now) && !Now.Is('(') && !(Now.Kind == TokenKind.Command && Function(Now.Text) is not null)
            && !(Now.Kind == TokenKind.Digit && tokens[_at - 1].Kind == TokenKind.Digit) && UnitLength(_at) == 0)
            factors.Add(Factor());
        return Whole(factors);
    }
}
