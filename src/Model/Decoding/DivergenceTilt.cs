namespace QSharp.Model;

/// <summary>
/// The optimum of E[R] − η·D_f(π ‖ π_ref) for an f-divergence of whole responses (method notes §4.6, variant A):
/// π ∝ π_ref·E[ζ(Z)], ζ(z) = [(f′)⁻¹((z − μ)/η)]₊, with μ of each prompt such that E[ζ(Z)] = 1 there.
/// </summary>
/// <param name="Name">As the command line has it.</param>
/// <param name="Temperature">η.</param>
/// <param name="Limit">(f′)⁻¹ is defined below it; infinite where it is everywhere.</param>
public abstract record DivergenceTilt(string Name, double Temperature, double Limit) : TiltFunction(Name)
{
    private const int Halvings = 200;

    public override double Eta => Temperature;

    public override double[] LogWeights(ReturnLaw law)
    {
        double[] z = [.. law.Returns], p = [.. law.Probabilities];
        int[] possible = [.. Enumerable.Range(0, z.Length).Where(i => p[i] > 0)];
        double most = z[possible[^1]];
        // E[ζ] falls in μ: at the largest return it is at most 1, at the least one, or where (f′)⁻¹ ends, at least 1.
        double low = Math.Max(z[possible[0]], most - Temperature * Limit), high = most;
        for (int i = 0; i < Halvings; i++)
        {
            double middle = (low + high) / 2, mean = possible.Sum(j => p[j] * Math.Exp(LogRatio((z[j] - middle) / Temperature)));
            if (mean > 1) low = middle;
            else high = middle;
        }
        return [.. z.Select(each => LogRatio((Math.Min(each, most) - high) / Temperature))];
    }

    /// <summary>ln (f′)⁻¹(y), −∞ where that is not positive.</summary>
    public abstract double LogRatio(double y);
}

/// <summary>
/// The α-divergences, f(u) = (u^α − αu + α − 1)/(α(α − 1)): 2 is χ² (which takes all weight from bad outcomes), ½ Hellinger's,
/// 0 the reverse KL; towards 1 they become the KL, which is the exponential tilt.
/// </summary>
/// <param name="Order">α, not 1.</param>
public sealed record AlphaDivergenceTilt(string Name, double Order, double Temperature)
    : DivergenceTilt(Name, Temperature, Order < 1 ? 1 / (1 - Order) : double.PositiveInfinity)
{
    public override double LogRatio(double y)
    {
        double root = 1 + (Order - 1) * y;
        return root > 0 ? Math.Log(root) / (Order - 1) : Order > 1 ? double.NegativeInfinity : double.PositiveInfinity;
    }
}

/// <summary>Jensen and Shannon's divergence, f(u) = u ln u − (u + 1) ln((u + 1)/2).</summary>
public sealed record JensenShannonTilt(double Temperature) : DivergenceTilt("js", Temperature, Math.Log(2))
{
    public override double LogRatio(double y)
    {
        double rest = 2 - Math.Exp(y);
        return rest > 0 ? y - Math.Log(rest) : double.PositiveInfinity;
    }
}
