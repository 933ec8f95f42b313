using System.Globalization;
using System.Numerics;

namespace QSharp.Model.Grading;

/// <summary>
/// The exact value of an expression modulo a prime, for values too long to write down, such as 2^−20000 or 0.999^5000: fractions
/// whose residues differ are different, and different ones have the same residue about once in 2^128. Null where the value is no
/// fraction, or does not exist.
/// </summary>
/// <param name="exact">Gives the variables' values, and those of exponents and of operations that are none of the field's.</param>
internal sealed class ResidueEvaluator(ExactEvaluator exact)
{
    /// <summary>2^128 − 15449, for which (p − 1)/2 is prime too: powers of a number repeat only after so many, whatever the exponents.</summary>
    private static readonly BigInteger _prime = BigInteger.Parse("340282366920938463463374607431768196007", CultureInfo.InvariantCulture);

    public BigInteger? Value(Expression expression)
    {
        if (expression is not Operation { Kind: Operator.Add or Operator.Multiply or Operator.Divide or Operator.Negate or Operator.Power or Operator.Percent } operation)
            return exact.Value(expression) is { } value ? Quotient(value.Numerator, value.Denominator) : null;
        if (operation.Kind == Operator.Power && exact.Value(operation.Arguments[1]) is not { IsInteger: true })
            return exact.Value(operation) is { } root ? Quotient(root.Numerator, root.Denominator) : null;
        if (Value(operation.Arguments[0]) is not { } result) return null;
        if (operation.Kind == Operator.Power) return Power(result, exact.Value(operation.Arguments[1])!.Value.Numerator);
        if (operation.Kind == Operator.Negate) return Modulo(-result);
        foreach (Expression argument in operation.Arguments.Skip(1))
        {
            if (Value(argument) is not { } next) return null;
            BigInteger? combined = operation.Kind switch
            {
                Operator.Add => Modulo(result + next),
                Operator.Multiply => Modulo(result * next),
                _ => Quotient(result, next),
            };
            if (combined is not { } residue) return null;
            result = residue;
        }
        return result;
    }

    private static BigInteger Modulo(BigInteger value) => Modulo(value, _prime);

    private static BigInteger Modulo(BigInteger value, BigInteger modulus)
    {
        BigInteger rest = BigInteger.Remainder(value, modulus);
        return rest.Sign < 0 ? rest + modulus : rest;
    }

    private static BigInteger? Quotient(BigInteger n, BigInteger d) => Power(Modulo(d), -1) is { } inverse ? Modulo(n * inverse) : null;

    private static BigInteger? Power(BigInteger basis, BigInteger exponent)
    {
        if (basis.IsZero) return exponent.Sign > 0 ? basis : null;
        // Fermat: exponents count modulo p − 1.
        return BigInteger.ModPow(basis, Modulo(exponent, _prime - 1), _prime);
    }
}
