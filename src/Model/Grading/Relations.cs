namespace QSharp.Model.Grading;

/// <summary>What terms between relation signs say: a variable's value, an interval of it, or a relation.</summary>
internal static class Relations
{
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

    private static Named Below(Expression name, Expression bound, string sign) =>
        new(name, new Sequence('(', sign == "<" ? ')' : ']', [new Operation(Operator.Negate, new Symbol(Symbol.Infinity)), bound]));

    private static Named Above(Expression name, Expression bound, string sign) =>
        new(name, new Sequence(sign == "<" ? '(' : '[', ')', [bound, new Symbol(Symbol.Infinity)]));

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
