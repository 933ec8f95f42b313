using System.Numerics;

using QSharp.Engine;

namespace QSharp.Model.Grading;

/// <summary>
/// The value of an expression in double precision, its variables at random points: complex ones, where an identity of analytic
/// functions holds or fails for all, or real ones, where |x| = √(x²).
/// </summary>
/// <param name="point">Number of the assignment.</param>
internal sealed class ComplexEvaluator(uint point, bool isReal)
{
    // Lanczos's approximation, g = 7, nine terms (Godfrey).
    private static readonly double[] _lanczos =
    [
        0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059, 12.507343278686905,
        -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
    ];

    public Approximate Value(Expression expression) => expression switch
    {
        Number number => Value(number.Value),
        Symbol symbol => At(symbol.Name),
        Operation operation => Value(operation),
        _ => Approximate.None,
    };

    private static Approximate Value(Rational number)
    {
        double value = number.ToDouble();
        bool isExact = number.IsInteger && Math.Abs(value) <= 1L << 53;
        return isExact ? Approximate.Exact(value) : Approximate.Rounded(value);
    }

    private Approximate At(string name)
    {
        switch (name)
        {
            case Symbol.Pi: return Approximate.Rounded(Math.PI);
            case Symbol.Euler: return Approximate.Rounded(Math.E);
            case Symbol.Imaginary: return Approximate.Exact(Complex.ImaginaryOne);
        }
        (uint re, uint im, _, _) = Philox.Block(ExactEvaluator.Hash(name), point, 1, 0, 0);
        return Approximate.Exact(new Complex(4 * Philox.Uniform(re) - 2, isReal ? 0 : 4 * Philox.Uniform(im) - 2));
    }

    private Approximate Value(Operation operation)
    {
        Approximate first = Value(operation.Arguments[0]);
        switch (operation.Kind)
        {
            case Operator.Add:
                for (int i = 1; i < operation.Arguments.Length; i++) first += Value(operation.Arguments[i]);
                return first;
            case Operator.Multiply:
                for (int i = 1; i < operation.Arguments.Length; i++) first *= Value(operation.Arguments[i]);
                return first;
        }
        Approximate second = operation.Arguments.Length > 1 ? Value(operation.Arguments[1]) : Approximate.Zero;
        Complex z = first.Value;
        return operation.Kind switch
        {
            Operator.Divide => first / second,
            Operator.Negate => -first,
            Operator.Power => first.Power(second),
            Operator.Root => Root(first, second),
            Operator.Factorial => Gamma(first + Approximate.One),
            Operator.Binomial => Gamma(first + Approximate.One) / (Gamma(second + Approximate.One) * Gamma(first - second + Approximate.One)),
            Operator.Abs => first.Magnitude(),
            Operator.Floor => first.Whole(Math.Floor),
            Operator.Ceiling => first.Whole(Math.Ceiling),
            Operator.Percent => first,
            Operator.Sin => Sin(first),
            Operator.Cos => Cos(first),
            Operator.Tan => Sin(first) / Cos(first),
            Operator.Cot => Cos(first) / Sin(first),
            Operator.Sec => Approximate.One / Cos(first),
            Operator.Csc => Approximate.One / Sin(first),
            Operator.Arcsin => first.Branching(Complex.Asin(z), 1 - z * z),
            Operator.Arccos => first.Branching(Complex.Acos(z), 1 - z * z),
            Operator.Arctan => Arctan(first),
            Operator.Sinh => Sinh(first),
            Operator.Cosh => Cosh(first),
            Operator.Tanh => Sinh(first) / Cosh(first),
            Operator.Ln => first.Log(),
            Operator.Log => first.Log() / second.Log(),
            Operator.Exp => first.Exp(),
            _ => Approximate.None,
        };
    }

    private static Approximate Sin(Approximate x) => x.Smooth(Complex.Sin(x.Value), Complex.Abs(Complex.Cos(x.Value)));

    private static Approximate Cos(Approximate x) => x.Smooth(Complex.Cos(x.Value), Complex.Abs(Complex.Sin(x.Value)));

    private static Approximate Sinh(Approximate x) => x.Smooth(Complex.Sinh(x.Value), Complex.Abs(Complex.Cosh(x.Value)));

    private static Approximate Cosh(Approximate x) => x.Smooth(Complex.Cosh(x.Value), Complex.Abs(Complex.Sinh(x.Value)));

    private static Approximate Arctan(Approximate x)
    {
        if (x.Value.Imaginary == 0) return x.Branching(Math.Atan(x.Value.Real), 1 + x.Value * x.Value);
        Approximate turned = Approximate.Exact(Complex.ImaginaryOne) * x;
        return Approximate.Exact(Complex.ImaginaryOne / 2) * ((Approximate.One - turned).Log() - (Approximate.One + turned).Log());
    }

    /// <summary>An odd root of a negative number is the real one.</summary>
    private static Approximate Root(Approximate value, Approximate degree)
    {
        Approximate power = Approximate.One / degree;
        bool isOdd = degree.Value.Imaginary == 0 && Math.Abs(degree.Value.Real % 2) == 1;
        return isOdd && value.Value.Imaginary == 0 && value.Value.Real < 0 ? -(-value).Power(power) : value.Power(power);
    }

    private static Approximate Gamma(Approximate x)
    {
        Complex z = x.Value;
        double pole = Complex.Abs(z - Math.Min(0, Math.Round(z.Real)));
        Complex value = Gamma(z);
        // The slope of ln Γ is about ln z, and as steep as 1/z beside a pole.
        double relative = 1e-13 + x.Error * (1 / pole + Math.Log(2 + Complex.Abs(z)));
        return relative <= 1e-3 ? Approximate.Rounded(value, relative * Complex.Abs(value)) : Approximate.None;
    }

    private static Complex Gamma(Complex z)
    {
        if (z.Real < 0.5) return Math.PI / (Complex.Sin(Math.PI * z) * Gamma(1 - z));
        z -= 1;
        Complex sum = _lanczos[0];
        for (int i = 1; i < _lanczos.Length; i++) sum += _lanczos[i] / (z + i);
        Complex t = z + 7.5;
        return Math.Sqrt(2 * Math.PI) * Complex.Exp((z + 0.5) * Complex.Log(t) - t) * sum;
    }
}
