using System.Numerics;

using QSharp.Engine;

namespace QSharp.Model.Grading;

/// <summary>
/// The value of an expression in double precision, its variables at random points: complex ones, where an identity of analytic
/// functions holds or fails for all, or real ones, where |x| = √(x²). Not a number where there is no value.
/// </summary>
/// <param name="point">Number of the assignment.</param>
internal sealed class ComplexEvaluator(uint point, bool isReal)
{
    private static readonly Complex _none = new(double.NaN, double.NaN);

    // Lanczos's approximation, g = 7, nine terms (Godfrey).
    private static readonly double[] _lanczos =
    [
        0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059, 12.507343278686905,
        -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
    ];

    public Complex Value(Expression expression) => expression switch
    {
        Number number => number.Value.ToDouble(),
        Symbol symbol => At(symbol.Name),
        Operation operation => Value(operation),
        _ => _none,
    };

    private Complex At(string name)
    {
        switch (name)
        {
            case Symbol.Pi: return Math.PI;
            case Symbol.Euler: return Math.E;
            case Symbol.Imaginary: return Complex.ImaginaryOne;
        }
        (uint re, uint im, _, _) = Philox.Block(ExactEvaluator.Hash(name), point, 1, 0, 0);
        return new Complex(4 * Philox.Uniform(re) - 2, isReal ? 0 : 4 * Philox.Uniform(im) - 2);
    }

    private Complex Value(Operation operation)
    {
        Complex first = Value(operation.Arguments[0]);
        switch (operation.Kind)
        {
            case Operator.Add:
                for (int i = 1; i < operation.Arguments.Length; i++) first += Value(operation.Arguments[i]);
                return first;
            case Operator.Multiply:
                for (int i = 1; i < operation.Arguments.Length; i++) first *= Value(operation.Arguments[i]);
                return first;
        }
        Complex second = operation.Arguments.Length > 1 ? Value(operation.Arguments[1]) : default;
        return operation.Kind switch
        {
            Operator.Divide => second == Complex.Zero ? _none : first / second,
            Operator.Negate => -first,
            Operator.Power => Power(first, second),
            Operator.Root => second == Complex.Zero ? _none : Root(first, second),
            Operator.Factorial => Gamma(first + 1),
            Operator.Binomial => Gamma(first + 1) / (Gamma(second + 1) * Gamma(first - second + 1)),
            Operator.Abs => Complex.Abs(first),
            Operator.Floor => new Complex(Math.Floor(first.Real), Math.Floor(first.Imaginary)),
            Operator.Ceiling => new Complex(Math.Ceiling(first.Real), Math.Ceiling(first.Imaginary)),
            Operator.Percent => first,
            Operator.Sin => Complex.Sin(first),
            Operator.Cos => Complex.Cos(first),
            Operator.Tan => Pole(Complex.Tan(first)),
            Operator.Cot => Pole(Complex.Cos(first) / Complex.Sin(first)),
            Operator.Sec => Pole(1 / Complex.Cos(first)),
            Operator.Csc => Pole(1 / Complex.Sin(first)),
            Operator.Arcsin => Complex.Asin(first),
            Operator.Arccos => Complex.Acos(first),
            Operator.Arctan => Complex.Atan(first),
            Operator.Sinh => Complex.Sinh(first),
            Operator.Cosh => Complex.Cosh(first),
            Operator.Tanh => Complex.Tanh(first),
            Operator.Ln => first == Complex.Zero ? _none : Complex.Log(first),
            Operator.Log => first == Complex.Zero || second == Complex.Zero || second == Complex.One ? _none : Complex.Log(first) / Complex.Log(second),
            Operator.Exp => Complex.Exp(first),
            _ => _none,
        };
    }

    /// <summary>tan 90° comes out as 10¹⁶ and has no value.</summary>
    private static Complex Pole(Complex value) => Complex.Abs(value) > 1e14 ? _none : value;

    private static Complex Power(Complex basis, Complex exponent)
    {
        if (exponent.Imaginary == 0 && exponent.Real == Math.Floor(exponent.Real) && Math.Abs(exponent.Real) <= 1024)
        {
            Complex result = Complex.One;
            int bits = (int)Math.Abs(exponent.Real);
            if (basis == Complex.Zero && exponent.Real <= 0) return exponent.Real == 0 ? Complex.One : _none;
            for (Complex square = basis; bits > 0; bits >>= 1, square *= square)
                if ((bits & 1) == 1) result *= square;
            return exponent.Real < 0 ? 1 / result : result;
        }
        if (basis == Complex.Zero) return exponent.Real > 0 ? Complex.Zero : _none;
        return Complex.Exp(exponent * Complex.Log(basis));
    }

    /// <summary>An odd root of a negative number is the real one.</summary>
    private static Complex Root(Complex value, Complex degree)
    {
        if (degree == 2) return Complex.Sqrt(value);
        bool isOdd = degree.Imaginary == 0 && Math.Abs(degree.Real % 2) == 1;
        return isOdd && value.Imaginary == 0 && value.Real < 0 ? -Power(-value, 1 / degree) : Power(value, 1 / degree);
    }

    private static Complex Gamma(Complex z)
    {
        if (z.Imaginary == 0 && z.Real <= 0 && z.Real == Math.Floor(z.Real)) return _none;
        if (z.Real < 0.5) return Math.PI / (Complex.Sin(Math.PI * z) * Gamma(1 - z));
        z -= 1;
        Complex sum = _lanczos[0];
        for (int i = 1; i < _lanczos.Length; i++) sum += _lanczos[i] / (z + i);
        Complex t = z + 7.5;
        return Math.Sqrt(2 * Math.PI) * Complex.Exp((z + 0.5) * Complex.Log(t) - t) * sum;
    }
}
