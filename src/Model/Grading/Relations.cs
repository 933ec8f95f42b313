namespace QSharp.Model.Grading;

/// <summary>What terms between relation signs say: a variable's value, an interval of it, or a relation.</summary>
internal static class Relations
{
    private static readonly Symbol _infinity = new(Symbol.Infinity);
    private static readonly Operation _minusInfinity = new(Operator.Negate, _infinity);

    /// <summary>ℝ as an interval.</summary>
    public static Sequence Reals { get; } = new('(', ')', [_minusInfinity, _infinity]);

    /// <param name="spread">Makes a list of both values of a ±.</param>
    public static Expression Of(List<string> signs, List<Expression> terms, Func<Expression, Expression> spread)
    {
        if (signs.TrueForAll(sign => sign is ">" or "ge"))
        {
            terms.Reverse();
            signs.Reverse();
            signs = [.. signs.Select(sign => sign == ">" ? "<" : "le")];
        }
        bool isComparison = signs.TrueForAll(sign => sign is "<" or "le");
        if (signs.TrueForAll(sign => sign == "=") && (signs.Count == 1 || IsName(terms[0])))
        {
            // x = 10/2 = 5 says 5.
            if (IsName(terms[0])) return new Named(terms[0], spread(terms[^1]));
            if (IsName(terms[1])) return new Named(terms[1], spread(terms[0]));
        }
        if (signs is ["in"] && IsName(terms[0])) return new Named(terms[0], terms[1]);
        if (isComparison && signs.Count == 1 && IsName(terms[0]) && IsConstant(terms[1])) return Below(terms[0], terms[1], signs[0]);
        if (isComparison && signs.Count == 1 && IsName(terms[1]) && IsConstant(terms[0])) return Above(terms[1], terms[0], signs[0]);
        if (isComparison && signs.Count == 2 && IsName(terms[1]) && IsConstant(terms[0]) && IsConstant(terms[2]))
            return new Named(terms[1], new Sequence(signs[0] == "<" ? '(' : '[', signs[1] == "<" ? ')' : ']', [terms[0], terms[2]]));
        return new Relation([.. signs], [.. terms]);
    }

    /// <summary>A relation again: left side less right side, for comparing equations that are written differently.</summary>
    public static Relation? AsRelation(Expression expression) => expression switch
    {
        Relation relation => relation,
        Named { Value: Sequence or Collection or Union } => null,
        Named named => new Relation(["="], [named.Name, named.Value]),
        _ => null,
    };

    /// <summary>
    /// An answer as a union, and the variable that it is of where that is named: one that is written so, intervals with "or" between
    /// them, x ≠ 3. Null where it is no union.
    /// </summary>
    public static (Expression? Name, Expression[] Parts)? AsUnion(Expression expression) => expression switch
    {
        Union union => (null, Points(union.Parts)),
        Named { Value: Union union } named => (named.Name, Points(union.Parts)),
        Relation { Signs: ["ne"], Terms: [var name, var value] } when IsName(name) && IsConstant(value) => (name, AllBut(value)),
        Relation { Signs: ["ne"], Terms: [var value, var name] } when IsName(name) && IsConstant(value) => (name, AllBut(value)),
        Collection { IsChoice: true } choice => Alternatives(choice.Items),
        _ => null,
    };

    /// <summary>Null unless all are of one variable, or all without one, and some are surely intervals: (1,2) alone may be a point.</summary>
    private static (Expression? Name, Expression[] Parts)? Alternatives(Expression[] items)
    {
        Expression? name = (items[0] as Named)?.Name;
        bool hasIntervals = false;
        List<Expression> parts = [];
        foreach (Expression item in items)
        {
            Named? named = item as Named;
            if (named is null ? name is not null : !(named.Name is Symbol own && name is Symbol first && own.Name == first.Name)) return null;
            Expression value = named?.Value ?? item;
            hasIntervals |= value is Union || (value is Sequence interval && (named is not null || IsInterval(interval)));
            if (value is Union union) parts.AddRange(union.Parts);
            else if (value is Sequence || named is not null) parts.Add(value);
            else return null;
        }
        return hasIntervals ? (name, Points([.. parts])) : null;
    }

    private static bool IsInterval(Sequence sequence) =>
        sequence.Open != '(' || sequence.Close != ')' || Array.Exists(sequence.Items, item => item is Symbol { Name: Symbol.Infinity } or Operation { Kind: Operator.Negate, Arguments: [Symbol { Name: Symbol.Infinity }] });

    /// <summary>Finite sets among the parts as their points.</summary>
    private static Expression[] Points(Expression[] parts) => [.. parts.SelectMany(part => part is Collection points ? points.Items : [part])];

    private static Expression[] AllBut(Expression value) => [new Sequence('(', ')', [_minusInfinity, value]), new Sequence('(', ')', [value, _infinity])];

    private static Named Below(Expression name, Expression bound, string sign) =>
        new(name, new Sequence('(', sign == "<" ? ')' : ']', [_minusInfinity, bound]));

    private static Named Above(Expression name, Expression bound, string sign) =>
        new(name, new Sequence(sign == "<" ? '(' : '[', ')', [bound, _infinity]));

    /// <summary>x, or f(x).</summary>
    private static bool IsName(Expression expression) => expression switch
    {
        Symbol symbol => !symbol.IsConstant,
        Operation { Kind: Operator.Multiply, Arguments: [Symbol { Name: "f" or "g" or "h" or "F" or "G" or "H" or "P" or "p" }, Symbol argument] } => !argument.IsConstant,
        _ => false,
    };

    private static bool IsConstant(Expression expression) => expression switch
    {
        Number => true,
        Symbol symbol => symbol.IsConstant,
        Operation operation => Array.TrueForAll(operation.Arguments, IsConstant),
        _ => false,
    };
}
