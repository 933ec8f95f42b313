namespace QSharp.Model;

/// <summary>What N samples of π_ref say about one prompt (method notes §6).</summary>
/// <param name="Rewards">Of responses that are all π_ref's.</param>
public sealed record PromptSamples(long Problem, IReadOnlyList<double> Rewards)
{
    // Beyond it a weight e^{λR} of rewards in [0, 1] is 0 or 1 to double precision.
    private const double MostLambda = 700;

    public int Count => Rewards.Count;

    /// <summary>Rewards above ½.</summary>
    public int Successes => Rewards.Count(reward => reward > 0.5);

    public double Mean => Rewards.Average();

    /// <summary>Whether all samples have the same reward, so that the prompt is dropped from training.</summary>
    public bool IsDropped => Rewards.All(reward => reward == Rewards[0]);

    /// <summary>Var(e^{λR})/E[e^{λR}]², the leading term of the paper's bound (Theorem 4.4), by the samples.</summary>
    public double SquaredVariation(double lambda)
    {
        double shift = Rewards.Max(reward => lambda * reward), mean = 0, square = 0;
        foreach (double reward in Rewards)
        {
            double weight = Math.Exp(lambda * reward - shift);
            mean += weight / Count;
            square += weight * weight / Count;
        }
        return square / (mean * mean) - 1;
    }

    /// <summary>Samples that bear information on Ŵ: N/(1 + CV²).</summary>
    public double EffectiveSamples(double lambda) => Count / (1 + SquaredVariation(lambda));

    /// <summary>Of Ŵ, the samples' mean of e^{λR}: CV/√N.</summary>
    public double RelativeError(double lambda) => Math.Sqrt(SquaredVariation(lambda) / Count);

    /// <summary>The largest λ that leaves a tenth of the samples effective; infinite where every λ does.</summary>
    public double SafeLambda()
    {
        if (EffectiveSamples(MostLambda) >= Count / 10.0) return double.PositiveInfinity;
        double low = 0, high = MostLambda;
        for (int i = 0; i < 60; i++)
        {
            double middle = (low + high) / 2;
            if (EffectiveSamples(middle) >= Count / 10.0) low = middle;
            else high = middle;
        }
        return low;
    }

    /// <summary>The samples of each prompt: those of rounds whose roll-in was π_ref.</summary>
    public static PromptSamples[] Of(IEnumerable<Rollout> rollouts) =>
    [
        .. rollouts.Where(rollout => rollout.Lambda == 0).GroupBy(rollout => rollout.Problem).OrderBy(group => group.Key)
            .Select(group => new PromptSamples(group.Key, [.. group.Select(rollout => (double)rollout.Reward)])),
    ];

    /// <summary>The chance that N samples of a prompt with success rate p are not all alike.</summary>
    public static double KeptShare(double p, int samples) => 1 - Math.Pow(p, samples) - Math.Pow(1 - p, samples);

    /// <summary>Mean label of a prompt with success rate p, given that its N samples are not all alike (method notes §2.4).</summary>
    public static double KeptLabel(double p, int samples) => (p - Math.Pow(p, samples)) / KeptShare(p, samples);
}
