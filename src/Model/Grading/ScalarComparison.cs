namespace QSharp.Model.Grading;

/// <summary>
/// Whether two expressions are the same function of their variables: by their values at random points, which stands in for symbolic
/// simplification, exactly where both are rational, else as far as double precision tells. What it cannot tell is not the same.
/// </summary>
internal static class ScalarComparison
{
    private const int ExactPoints = 3, Points = 8, MostTries = 24;

    public static bool Equal(Expression a, Expression b)
    {
        // 33% stands for 33 as well as for 33/100.
        if (a is Operation { Kind: Operator.Percent } percent && b is not Operation { Kind: Operator.Percent })
            return SameFunction(percent.Arguments[0], b) || SameFunction(new Operation(Operator.Divide, percent.Arguments[0], new Number(Rational.Of(100)!.Value)), b);
        return b is Operation { Kind: Operator.Percent } && a is not Operation { Kind: Operator.Percent } ? Equal(b, a) : SameFunction(a, b);
    }

    private static bool SameFunction(Expression a, Expression b)
    {
        if (a is Number one && b is Number other) return one.Value == other.Value;
        if (a is Symbol x && b is Symbol y) return x.Name == y.Name;
        return SameFraction(a, b) ?? (Agree(a, b, isReal: false) || Agree(a, b, isReal: true) || SameTree(a, b));
    }

    /// <summary>Whether the values are the same fractions; null where too few are fractions.</summary>
    private static bool? SameFraction(Expression a, Expression b)
    {
        int found = 0;
        for (uint point = 0; found < ExactPoints && point < ExactPoints + 2; point++)
        {
            ExactEvaluator exact = new(point);
            ResidueEvaluator residue = new(exact);
            if (exact.Value(a) is { } left && exact.Value(b) is { } right)
            {
                if (left != right) return false;
            }
            else if (residue.Value(a) is not { } rest || residue.Value(b) is not { } other)
                continue;
            else if (rest != other)
                return false;
            found++;
        }
        return found == ExactPoints ? true : null;
    }

    /// <summary>Whether the values agree wherever both can be told, at enough points.</summary>
    private static bool Agree(Expression a, Expression b, bool isReal)
    {
        int found = 0;
        for (uint point = 0; found < Points && point < MostTries; point++)
        {
            ComplexEvaluator evaluator = new(point, isReal);
            if (Approximate.Same(evaluator.Value(a), evaluator.Value(b)) is not { } same) continue;
            if (!same) return false;
            found++;
        }
        return found == Points;
    }

    /// <summary>Whether sides of two equations or comparisons, each brought to one side, differ by a constant factor.</summary>
    /// <param name="positive">Whether the factor must be positive, as for comparisons.</param>
    public static bool Proportional(Expression a, Expression b, bool positive)
    {
        Rational? exact = null;
        for (uint point = 0; point < ExactPoints; point++)
        {
            ExactEvaluator evaluator = new(point);
            if (evaluator.Value(a) is not { } left || evaluator.Value(b) is not { } right) return NearlyProportional(a, b, positive);
            if (left.Over(right) is not { } factor || factor.Numerator.IsZero || (positive && factor.Numerator.Sign < 0) || (exact is { } before && before != factor)) return false;
            exact = factor;
        }
        return true;
    }

    private static bool NearlyProportional(Expression a, Expression b, bool positive)
    {
        Approximate? factor = null;
        int found = 0;
        for (uint point = 0; found < Points && point < MostTries; point++)
        {
            ComplexEvaluator evaluator = new(point, isReal: false);
            Approximate ratio = evaluator.Value(a) / evaluator.Value(b);
            if (ratio.IsNone) continue;
            if (ratio.IsNil) return false;
            if (factor is { } before)
            {
                if (Approximate.Same(before, ratio) is not { } same) continue;
                if (!same) return false;
            }
            factor = ratio;
            found++;
        }
        return found == Points && (!positive || (factor!.Value.Value.Real > 0 && Math.Abs(factor.Value.Value.Imaginary) <= factor.Value.Error));
    }

    /// <summary>For what has no value, such as 9^9^9^9.</summary>
    private static bool SameTree(Expression a, Expression b) => (a, b) switch
    {
        (Number x, Number y) => x.Value == y.Value,
        (Symbol x, Symbol y) => x.Name == y.Name,
        (Operation x, Operation y) => x.Kind == y.Kind && x.Arguments.Length == y.Arguments.Length && x.Arguments.Zip(y.Arguments).All(pair => SameTree(pair.First, pair.Second)),
        _ => false,
    };
}
