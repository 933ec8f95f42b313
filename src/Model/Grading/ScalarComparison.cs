using System.Numerics;

namespace QSharp.Model.Grading;

/// <summary>
/// Whether two expressions are the same function of their variables. Exact where both are rational; else by their values at
/// random points, which stands in for symbolic simplification.
/// </summary>
internal static class ScalarComparison
{
    private const int ExactPoints = 3, Points = 8, MostTries = 24;
    private const double Tolerance = 1e-9, Nothing = 1e-13;

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
        int exact = 0;
        for (uint point = 0; exact < ExactPoints && point < ExactPoints + 2; point++)
        {
            ExactEvaluator evaluator = new(point);
            if (evaluator.Value(a) is not { } left || evaluator.Value(b) is not { } right) continue;
            if (left != right) return false;
            exact++;
        }
        return exact == ExactPoints || Agree(a, b, isReal: false) || Agree(a, b, isReal: true) || SameTree(a, b);
    }

    /// <summary>Whether the values agree wherever both exist, at enough points.</summary>
    private static bool Agree(Expression a, Expression b, bool isReal)
    {
        int found = 0;
        for (uint point = 0; found < Points && point < MostTries; point++)
        {
            ComplexEvaluator evaluator = new(point, isReal);
            Complex left = evaluator.Value(a), right = evaluator.Value(b);
            if (!Complex.IsFinite(left) || !Complex.IsFinite(right)) continue;
            if (!Near(left, right)) return false;
            found++;
        }
        return found == Points;
    }

    private static bool Near(Complex a, Complex b) =>
        Complex.Abs(a - b) <= Tolerance * Math.Max(Complex.Abs(a), Complex.Abs(b)) || (Complex.Abs(a) < Nothing && Complex.Abs(b) < Nothing);

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
        Complex? factor = null;
        int found = 0;
        for (uint point = 0; found < Points && point < MostTries; point++)
        {
            ComplexEvaluator evaluator = new(point, isReal: false);
            Complex ratio = evaluator.Value(a) / evaluator.Value(b);
            if (!Complex.IsFinite(ratio)) continue;
            if (Complex.Abs(ratio) < Nothing || (factor is { } before && !Near(before, ratio))) return false;
            factor = ratio;
            found++;
        }
        return found == Points && (!positive || (factor!.Value.Real > 0 && Math.Abs(factor.Value.Imaginary) <= Tolerance * factor.Value.Real));
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
