using System.Numerics;

namespace QSharp.Model.Grading;

/// <summary>
/// A complex number in double precision, and how far from it the true one may be at most: every operation adds its own rounding to
/// what it is given. Terms that cancel leave an error as large as what is left of them, which is how zero is told from what is
/// merely small. Not a number where there is no value, or where so little is known of it that nothing should be said: beyond the
/// range of doubles (no tiny number becomes 0), and where a relative error would pass on more than <see cref="Blur"/>.
/// </summary>
internal readonly record struct Approximate
{
    /// <summary>Relative error of one operation or elementary function, with room to spare.</summary>
    private const double Unit = 2e-15;

    /// <summary>An error beyond which a zero is no zero, nor a factor a factor.</summary>
    private const double Blur = 1e-3;

    /// <summary>Magnitude below which doubles lose digits, errors included.</summary>
    private const double Smallest = 1e-280;

    /// <summary>Relative error beyond which two values that may be the same say nothing.</summary>
    private const double Vague = 1e-7;

    private Approximate(Complex value, double error)
    {
        Value = value;
        Error = error;
    }

    public static Approximate None { get; } = new(new Complex(double.NaN, double.NaN), double.NaN);

    public static Approximate Zero { get; } = default;

    public static Approximate One { get; } = new(Complex.One, 0);

    public Complex Value { get; }

    public double Error { get; }

    public bool IsNone => double.IsNaN(Error);

    /// <summary>Whether this is 0 for certain.</summary>
    public bool IsZero => Value == Complex.Zero && Error == 0;

    /// <summary>Whether this is 0 as far as its terms' sizes can tell.</summary>
    public bool IsNil => Size <= Error && Error <= Blur;

    /// <summary>Whether digits are known: this may divide, have a logarithm, and so on.</summary>
    private bool IsSharp => Error <= Blur * Size && !IsZero;

    private double Size => Complex.Abs(Value);

    /// <summary>A number that is what it says.</summary>
    public static Approximate Exact(Complex value) => new(value, 0);

    /// <summary>A result not equal to 0 for certain.</summary>
    /// <param name="inherited">The error that those of the arguments make.</param>
    public static Approximate Rounded(Complex value, double inherited = 0)
    {
        double size = Complex.Abs(value), error = inherited + Unit * size;
        return Complex.IsFinite(value) && double.IsFinite(error) && size + error >= Smallest ? new(value, error) : None;
    }

    /// <summary>Whether two values are the same; null where that cannot be told.</summary>
    public static bool? Same(Approximate a, Approximate b)
    {
        if (a.IsNone || b.IsNone) return null;
        double noise = a.Error + b.Error, gap = Complex.Abs(a.Value - b.Value);
        if (gap > noise) return false;
        return noise <= Vague * Math.Max(a.Size, b.Size) || (a.IsNil && b.IsNil) ? true : null;
    }

    public static Approximate operator -(Approximate a) => new(-a.Value, a.Error);

    public static Approximate operator +(Approximate a, Approximate b)
    {
        Complex sum = a.Value + b.Value;
        double error = a.Error + b.Error;
        return sum == Complex.Zero && error == 0 ? Zero : Rounded(sum, error);
    }

    public static Approximate operator -(Approximate a, Approximate b) => a + -b;

    public static Approximate operator *(Approximate a, Approximate b)
    {
        if (a.IsNone || b.IsNone) return None;
        return a.IsZero || b.IsZero ? Zero : Rounded(a.Value * b.Value, a.Size * b.Error + b.Size * a.Error + a.Error * b.Error);
    }

    public static Approximate operator /(Approximate a, Approximate b)
    {
        if (a.IsNone || !b.IsSharp) return None;
        if (a.IsZero) return Zero;
        Complex ratio = a.Value / b.Value;
        return Rounded(ratio, (a.Error + Complex.Abs(ratio) * b.Error) / (b.Size - b.Error));
    }

    public Approximate Magnitude() => new(Size, Error);

    /// <summary>A function that takes the nearest whole number for an argument that may be one, and else rounds.</summary>
    public Approximate Whole(Func<double, double> round)
    {
        if (!(Error <= Blur)) return None;
        double error = Error;
        return Exact(new Complex(Part(Value.Real), Part(Value.Imaginary)));

        double Part(double x) => Math.Abs(x - Math.Round(x)) <= error ? Math.Round(x) : round(x);
    }

    /// <summary>A function that is smooth around the argument.</summary>
    /// <param name="slope">Its derivative's magnitude here; the second derivative is taken to be no larger than value and slope.</param>
    public Approximate Smooth(Complex value, double slope)
    {
        if (!(Error <= Blur)) return None;
        return value == Complex.Zero && Error == 0 ? Zero : Rounded(value, (slope + Error * (1 + Complex.Abs(value))) * Error);
    }

    /// <summary>A function whose derivative is 1/√|distance| or 1/|distance| from a branching point, as arcsine's is at 1.</summary>
    public Approximate Branching(Complex value, Complex distance)
    {
        if (!(Error <= Blur)) return None;
        double error = Error == 0 ? 0 : Error / Math.Sqrt(Math.Max(Complex.Abs(distance), Error));
        return value == Complex.Zero && error == 0 ? Zero : Rounded(value, error);
    }

    public Approximate Exp()
    {
        Complex value = Complex.Exp(Value);
        return Error <= Blur ? Rounded(value, 2 * Error * Complex.Abs(value)) : None;
    }

    /// <summary>ln 1 is 0 as far as can be told: near 1 no more than its absolute error is known.</summary>
    public Approximate Log() => IsSharp ? Rounded(Complex.Log(Value), 2 * Error / Size + Unit) : None;

    public Approximate Power(Approximate exponent)
    {
        if (IsNone || exponent.IsNone) return None;
        if (exponent.IsZero) return One;
        if (IsZero) return exponent.Value.Real > Blur ? Zero : None;
        Complex power = exponent.Value;
        if (!IsSharp) return power.Real > Blur ? Rounded(Power(Value, power), Math.Pow(Size + Error, power.Real)) : None;
        double relative = 2 * (exponent.Size * (Error / Size + Unit) + exponent.Error * Complex.Abs(Complex.Log(Value)));
        Complex value = Power(Value, power);
        return relative <= Blur ? Rounded(value, relative * Complex.Abs(value)) : None;
    }

    private static Complex Power(Complex basis, Complex exponent)
    {
        if (exponent.Imaginary != 0 || exponent.Real != Math.Floor(exponent.Real) || Math.Abs(exponent.Real) > 1024)
            return basis == Complex.Zero ? Complex.Zero : Complex.Exp(exponent * Complex.Log(basis));
        Complex result = Complex.One;
        int bits = (int)Math.Abs(exponent.Real);
        for (Complex square = basis; bits > 0; bits >>= 1, square *= square)
            if ((bits & 1) == 1) result *= square;
        return exponent.Real < 0 ? 1 / result : result;
    }
}
