using System.Numerics;

namespace QSharp.Model.Grading;

/// <summary>
/// An exact fraction in lowest terms, its denominator positive. Results that would be too long to compute with are null, so that
/// no answer can cost more than a moment.
/// </summary>
internal readonly record struct Rational
{
    /// <summary>Longest numerator or denominator: some 2,400 digits.</summary>
    private const long MostBits = 8192;

    private Rational(BigInteger numerator, BigInteger denominator)
    {
        Numerator = numerator;
        Denominator = denominator;
    }

    public static Rational One { get; } = new(1, 1);

    public BigInteger Numerator { get; }

    public BigInteger Denominator { get; }

    public bool IsInteger => Denominator.IsOne;

    /// <summary>n/d, or null where d is 0 or either is too long.</summary>
    public static Rational? Of(BigInteger n, BigInteger d)
    {
        if (d.IsZero) return null;
        if (!d.IsOne)
        {
            BigInteger divisor = BigInteger.GreatestCommonDivisor(n, d);
            if (d.Sign < 0) divisor = -divisor;
            (n, d) = (n / divisor, d / divisor);
        }
        return n.GetBitLength() > MostBits || d.GetBitLength() > MostBits ? null : new Rational(n, d);
    }

    public static Rational? Of(BigInteger n) => Of(n, BigInteger.One);

    public Rational? Plus(Rational other) =>
        Of(Numerator * other.Denominator + other.Numerator * Denominator, Denominator * other.Denominator);

    public Rational? Times(Rational other) => Of(Numerator * other.Numerator, Denominator * other.Denominator);

    public Rational? Over(Rational other) => Of(Numerator * other.Denominator, Denominator * other.Numerator);

    public Rational Negated() => new(-Numerator, Denominator);

    public Rational Magnitude() => new(BigInteger.Abs(Numerator), Denominator);

    public BigInteger Floor() => BigInteger.DivRem(Numerator, Denominator, out BigInteger rest) - (rest.Sign < 0 ? 1 : 0);

    /// <summary>A whole power, or a root that is exact; else null.</summary>
    public Rational? Power(Rational exponent)
    {
        if (!exponent.IsInteger) return exponent.Denominator <= 64 && Root((int)exponent.Denominator) is { } root ? root.Power(Of(exponent.Numerator)!.Value) : null;
        if (Numerator.IsOne && IsInteger) return this;
        if (Numerator.IsZero) return exponent.Numerator.Sign > 0 ? this : null;
        long bits = Math.Max(Numerator.GetBitLength(), Denominator.GetBitLength());
        if (BigInteger.Abs(exponent.Numerator) * Math.Max(bits - 1, 1) > MostBits) return null;
        int power = (int)BigInteger.Abs(exponent.Numerator);
        BigInteger n = BigInteger.Pow(Numerator, power), d = BigInteger.Pow(Denominator, power);
        return exponent.Numerator.Sign < 0 ? Of(d, n) : Of(n, d);
    }

    /// <summary>The real root where it is a fraction.</summary>
    public Rational? Root(int degree)
    {
        if (Numerator.Sign < 0) return degree % 2 == 1 ? Negated().Root(degree)?.Negated() : null;
        return Root(Numerator, degree) is { } n && Root(Denominator, degree) is { } d ? new Rational(n, d) : null;
    }

    public double ToDouble()
    {
        // Shifted so that a quotient of 64 bits is left: neither part need fit a double.
        long shift = Denominator.GetBitLength() - Numerator.GetBitLength() + 64;
        BigInteger quotient = shift >= 0 ? (Numerator << (int)shift) / Denominator : Numerator / (Denominator << (int)-shift);
        return Math.ScaleB((double)quotient, (int)-shift);
    }

    public override string ToString() => IsInteger ? Numerator.ToString() : $"{Numerator}/{Denominator}";

    private static BigInteger? Root(BigInteger value, int degree)
    {
        if (value.IsZero || value.IsOne) return value;
        // Newton's iteration from above.
        BigInteger root = BigInteger.One << (int)(value.GetBitLength() / degree + 1);
        while (true)
        {
            BigInteger next = ((degree - 1) * root + value / BigInteger.Pow(root, degree - 1)) / degree;
            if (next >= root) break;
            root = next;
        }
        return BigInteger.Pow(root, degree) == value ? root : null;
    }
}
