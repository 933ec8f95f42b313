using System.Numerics;

using QSharp.Engine;

namespace QSharp.Model.Grading;

/// <summary>
/// The exact value of an expression in which variables are given random whole numbers. Two rational functions that agree at such
/// points are the same, and two that do not are not. Null where the value is no fraction, does not exist or would be too long.
/// </summary>
/// <param name="point">Number of the assignment.</param>
internal sealed class ExactEvaluator(uint point)
{
    private const int LargestFactorial = 400;

    public Rational? Value(Expression expression) => expression switch
    {
        Number number => number.Value,
        Symbol symbol => symbol.IsConstant ? null : Rational.Of(At(symbol.Name)),
        Operation operation => Value(operation),
        _ => null,
    };

    /// <summary>Every variable changes its sign from point to point, so that |x| is told from x.</summary>
    private BigInteger At(string name)
    {
        ulong hash = Hash(name);
        BigInteger magnitude = 2 + Philox.Block(hash, point, 0, 0, 0).X0 % 65_521;
        return ((hash + point) & 1) == 0 ? magnitude : -magnitude;
    }

    /// <summary>FNV-1a: the same in every process, unlike string's own.</summary>
    public static ulong Hash(string name)
    {
        ulong hash = 0xcbf29ce484222325;
        foreach (char c in name) hash = (hash ^ c) * 0x100000001b3;
        return hash;
    }

    private Rational? Value(Operation operation)
    {
        if (operation.Kind > Operator.Percent) return null;
        if (Value(operation.Arguments[0]) is not { } first) return null;
        switch (operation.Kind)
        {
            case Operator.Add or Operator.Multiply:
                for (int i = 1; i < operation.Arguments.Length; i++)
                {
                    if (Value(operation.Arguments[i]) is not { } next) return null;
                    if ((operation.Kind == Operator.Add ? first.Plus(next) : first.Times(next)) is not { } result) return null;
                    first = result;
                }
                return first;
            case Operator.Negate: return first.Negated();
            case Operator.Abs: return first.Magnitude();
            case Operator.Floor: return Rational.Of(first.Floor());
            case Operator.Ceiling: return Rational.Of(-first.Negated().Floor());
            case Operator.Percent: return first;
            case Operator.Factorial: return first.IsInteger && first.Numerator >= 0 && first.Numerator <= LargestFactorial ? Falling(first.Numerator, (int)first.Numerator) : null;
        }
        if (Value(operation.Arguments[1]) is not { } second) return null;
        return operation.Kind switch
        {
            Operator.Divide => first.Over(second),
            Operator.Power => first.Power(second),
            Operator.Root when second.IsInteger && second.Numerator > 0 && second.Numerator <= 64 => first.Root((int)second.Numerator),
            Operator.Binomial when first.IsInteger && second.IsInteger && second.Numerator >= 0 && second.Numerator <= LargestFactorial => Binomial(first, (int)second.Numerator),
            _ => null,
        };
    }

    private static Rational? Binomial(Rational n, int k) => Falling(n.Numerator, k) is { } above && Falling(k, k) is { } below ? above.Over(below) : null;

    /// <summary>n (n − 1) … of k factors.</summary>
    private static Rational? Falling(BigInteger n, int k)
    {
        BigInteger product = 1;
        for (int i = 0; i < k; i++) product *= n - i;
        return Rational.Of(product);
    }
}
