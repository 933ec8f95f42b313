namespace QSharp.Model;

/// <summary>How far a policy's visits lie from the data's: D_f = E_D[f(ζ)], ζ the ratio of the two.</summary>
public enum Divergence
{
    /// <summary>f = ζ ln ζ − ζ + 1.</summary>
    Kl,

    /// <summary>f = ½(ζ − 1)² for ζ ≥ 0.</summary>
    ChiSquared,

    /// <summary>The same for every ζ, so that the inner problem is one of least squares.</summary>
    Squares,
}

/// <summary>
/// AlgaeDICE (Nachum et al. 2019), without discount and with a last token (method notes §4.6): max over π, min over ν of
/// L = E_{x1, y~π}[ν(x1, y)] + α E_D Σ_t f*(δ_t/α), δ_t = r_t + m_{t+1} − ν(x_t, y_t), m_t = Σ_y π(y|x_t) ν(x_t, y), and 0 after the
/// last token. At the best ν, c_t = f*′(δ_t/α) is the ratio of the visits of π to those of the data, here
/// Π_{i≤t} π/π_ref(y_i|x_i), and L = E_π[R] − α Σ_t D_f(visits of π at t ‖ those of the data). For KL that is a price of
/// α(H − t + 1) on ln π/π_ref of token t: Q♯ has the same price on all tokens.
/// </summary>
/// <remarks>f is taken so that f(1) = f′(1) = 0: with ν = 0 and no reward every ratio is 1, that of π_ref.</remarks>
/// <param name="Alpha">α, the price of the divergence.</param>
/// <param name="HasReward">Whether the last token bears the reward; without it the best ν has the ratios still.</param>
public sealed record DiceObjective(Divergence Divergence, float Alpha, bool HasReward = true)
{
    /// <summary>
    /// Above e^10 a ratio of KL counts as that, and f* is a line: f of ratios up to there. N roll-outs bear ratios up to about N.
    /// </summary>
    private const double MostLogRatio = 10;

    /// <summary>
    /// DualDICE (Nachum et al. 2019), for the ratios ν − P^πν of a policy that is given: min over ν of ½E_D[(ν − P^πν)²] − E_{x1, π}[ν].
    /// Its ν is the number of tokens to come less the ν here, so that 0 says π_ref.
    /// </summary>
    public static DiceObjective DualDice { get; } = new(Divergence.Squares, 1, HasReward: false);

    /// <summary>L of one response, and the ratio at each of its tokens.</summary>
    /// <param name="means">m of each token.</param>
    /// <param name="chosen">ν of each token.</param>
    public double Lagrangian(float reward, ReadOnlySpan<float> means, ReadOnlySpan<float> chosen, Span<float> ratios)
    {
        double sum = means[0];
        for (int t = 0; t < means.Length; t++)
        {
            double next = t + 1 < means.Length ? means[t + 1] : HasReward ? reward : 0;
            (double conjugate, double ratio) = Conjugate((next - chosen[t]) / Alpha);
            sum += Alpha * conjugate;
            ratios[t] = (float)ratio;
        }
        return sum;
    }

    /// <summary>The one number for ν at which the ratios at the responses' last tokens have a mean of 1: far from it ν would first have to learn that.</summary>
    public float Start(IReadOnlyCollection<float> rewards)
    {
        if (!HasReward) return 0;
        if (Divergence != Divergence.Kl) return rewards.Average();
        double top = rewards.Max();
        return (float)(top + Alpha * Math.Log(rewards.Average(reward => Math.Exp((reward - top) / Alpha))));
    }

    /// <summary>f*(u) and its slope.</summary>
    private (double Value, double Slope) Conjugate(double u)
    {
        if (Divergence == Divergence.Kl)
        {
            double slope = Math.Exp(Math.Min(u, MostLogRatio));
            return (slope * (1 + Math.Max(u - MostLogRatio, 0)) - 1, slope);
        }
        return Divergence == Divergence.ChiSquared && u < -1 ? (-0.5, 0) : (u + u * u / 2, 1 + u);
    }
}
