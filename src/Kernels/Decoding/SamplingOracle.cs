using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>The laws of decoding in float64, straight from their definitions: what the cases and tests hold the ops against.</summary>
internal static class SamplingOracle
{
    public static double LogSumExp(IEnumerable<double> x)
    {
        double max = x.DefaultIfEmpty(double.NegativeInfinity).Max();
        return double.IsNegativeInfinity(max) ? max : max + Math.Log(x.Sum(v => Math.Exp(v - max)));
    }

    public static double[] LogSoftmax(double[] x, double temperature)
    {
        double total = LogSumExp(x.Select(v => v / temperature));
        return [.. x.Select(v => v / temperature - total)];
    }

    public static double Noise(ulong key, int stream, int position, int token)
    {
        (uint x0, uint x1, uint x2, uint x3) = Philox.Block(key, (uint)token / 4, (uint)position, (uint)stream, 0);
        uint word = (token % 4) switch { 0 => x0, 1 => x1, 2 => x2, _ => x3 };
        double u = (word + 0.5) / 4294967296.0;
        return -Math.Log(u < 1e-5 ? u + u * u / 2 + u * u * u / 3 : -Math.Log(1 - u));
    }

    /// <summary>The token of the largest score + noise.</summary>
    public static int Draw(double[] scores, ulong key, int stream, int position) =>
        Argmax([.. scores.Select((s, token) => s + Noise(key, stream, position, token))]);

    /// <summary>The first of the largest.</summary>
    public static int Argmax(double[] x) => Array.IndexOf(x, x.Max());

    /// <summary>Whether each token is in the top-p set: sorted by score, ties lower id first, up to the token that reaches p.</summary>
    public static bool[] TopP(double[] scores, double temperature, double p)
    {
        bool[] kept = [.. scores.Select(score => p >= 1 && !double.IsNegativeInfinity(score))];
        if (p >= 1) return kept;
        double[] log = LogSoftmax(scores, temperature);
        double mass = 0;
        foreach (int token in Enumerable.Range(0, scores.Length).OrderByDescending(i => scores[i]).ThenBy(i => i))
        {
            if (mass >= p) break;
            kept[token] = true;
            mass += Math.Exp(log[token]);
        }
        return kept;
    }

    private static double[] Atoms(ReturnFamily family) => family.Kind == FamilyKind.Bernoulli
        ? [family.Min, family.Max]
        : [.. Enumerable.Range(0, family.Atoms).Select(i => family.Min + i * ((double)family.Max - family.Min) / (family.Atoms - 1))];

    /// <summary>ln p of each atom.</summary>
    private static double[] LogLaw(double[] logits, ReturnFamily family) =>
        LogSoftmax(family.Kind == FamilyKind.Bernoulli ? [0, logits[0]] : logits, 1);

    /// <summary>h of each return: λz, or a table.</summary>
    private static double[] LogWeights(ReturnFamily family, double lambda, double[]? weights) => weights ?? [.. Atoms(family).Select(z => lambda * z)];

    public static double Tilt(double[] logits, ReturnFamily family, Tilt tilt, double lambda, double[]? weights = null) => tilt switch
    {
        QSharp.Kernels.Tilt.None => 0,
        QSharp.Kernels.Tilt.Mean => lambda * LogLaw(logits, family).Zip(Atoms(family), (p, z) => Math.Exp(p) * z).Sum(),
        _ => LogSumExp(LogLaw(logits, family).Zip(LogWeights(family, lambda, weights), (p, h) => p + h)),
    };

    /// <summary>Mean and variance of Z under p·exp(h); 0 and 0 where that has no weight.</summary>
    public static (double Mean, double Variance) Moments(double[] logits, ReturnFamily family, double lambda, double[]? weights = null)
    {
        double[] z = Atoms(family), logs = [.. LogLaw(logits, family).Zip(LogWeights(family, lambda, weights), (p, h) => p + h)];
        if (logs.All(double.IsNegativeInfinity)) return (0, 0);
        double[] law = [.. LogSoftmax(logs, 1).Select(Math.Exp)];
        double mean = law.Zip(z, (p, v) => p * v).Sum();
        return (mean, law.Zip(z, (p, v) => p * (v - mean) * (v - mean)).Sum());
    }

    /// <summary>The tilt outside of the candidates, and ρ, which is NaN where the tilt leaves no token any weight, so that none is to be tilted.</summary>
    /// <param name="g">Tilts of the candidates.</param>
    /// <param name="q">Their probabilities.</param>
    public static (double Tilt, double Residual) OutsideTilt(
        GuidanceRule rule, double[] g, double[] q, double tail, double prefix, double[]? weights = null)
    {
        if (g.Length == 0) return (0, 0);
        bool isMean = rule.Tilt == QSharp.Kernels.Tilt.Mean, isKnown = !double.IsNaN(prefix);
        double mass = q.Sum();
        double shift = isMean || double.IsNegativeInfinity(g.Max()) ? 0 : g.Max();
        double Weight(double tilt) => isMean ? tilt : Math.Exp(tilt - shift);
        double Tilt(double weight) => isMean ? weight : Math.Log(weight) + shift;
        double part = q.Zip(g, (p, tilt) => p * Weight(tilt)).Sum();
        double residual = isKnown && mass > 0 ? prefix - Tilt(part / mass) : 0;
        if (double.IsInfinity(residual) || double.IsNegativeInfinity(prefix)) residual = 0;
        double[] h = LogWeights(rule.Family, rule.Lambda, weights);
        (double low, double high) = (h.Min(), h.Max());
        double Martingale()
        {
            if (tail <= 1e-6) return double.NegativeInfinity;
            if (!isKnown) return Math.Clamp(mass > 0 ? Tilt(part / mass) : 0, low, high);
            double weight = (Weight(Math.Clamp(prefix, low, high)) - part) / tail;
            return weight <= 0 && !isMean ? low : Math.Clamp(Tilt(weight), low, high);
        }
        double tilt = rule.Outside switch
        {
            Outside.Zero => 0,
            Outside.Min => g.Min(),
            Outside.Mean => g.Average(),
            Outside.Truncate => double.NegativeInfinity,
            _ => Martingale(),
        };
        bool candidatesHaveWeight = q.Zip(g, (p, each) => p > 0 && !double.IsNegativeInfinity(each)).Any(has => has);
        return candidatesHaveWeight || (tail > 0 && !double.IsNegativeInfinity(tilt)) ? (tilt, residual) : (0, double.NaN);
    }
}
