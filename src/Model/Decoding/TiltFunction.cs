namespace QSharp.Model;

/// <summary>
/// A function h of the reward that tilts π_ref: π(y|x) ∝ π_ref(y|x)·E[exp(h(Z(x, y)))], exact for any h by the one guide that has
/// learned Z (method notes §7.4). It may depend on the prompt, through the law of the return there, and stays fixed along a
/// response.
/// </summary>
/// <param name="Name">As the command line has it.</param>
public abstract record TiltFunction(string Name)
{
    /// <summary>η, where the function has one; else NaN.</summary>
    public virtual double Eta => double.NaN;

    /// <summary>h of each return: finite or −∞.</summary>
    /// <param name="law">Z at the prompt.</param>
    public abstract double[] LogWeights(ReturnLaw law);

    /// <summary>The same as a sampler takes it.</summary>
    public float[] Weights(ReturnLaw law) => [.. LogWeights(law).Select(weight => (float)weight)];

    /// <summary>λ, where h is λz; else NaN.</summary>
    public virtual double Lambda(ReturnLaw law) => double.NaN;
}

/// <summary>Conditioning on a reward of at least c: π ∝ π_ref·P(Z ≥ c).</summary>
public sealed record ThresholdTilt(double Least) : TiltFunction(FormattableString.Invariant($"threshold:{Least}"))
{
    public override double[] LogWeights(ReturnLaw law)
    {
        double slack = 1e-6 * (law.Returns[^1] - law.Returns[0]);   // returns are fp32
        return [.. law.Returns.Select(z => z >= Least - slack ? 0 : double.NegativeInfinity)];
    }
}

/// <summary>
/// The law of the best of n samples, token by token: ω(z_i) = (F(z_i)ⁿ − F(z_{i−1})ⁿ)/p_i with F the distribution function at the
/// prompt. Its KL is at most ln n − (n − 1)/n.
/// </summary>
/// <param name="N">Any real number of at least 1.</param>
public sealed record BestOfTilt(double N) : TiltFunction(FormattableString.Invariant($"best-of:{N}"))
{
    public override double[] LogWeights(ReturnLaw law)
    {
        double[] weights = new double[law.Returns.Count];
        double below = 0;
        for (int i = 0; i < weights.Length; i++)
        {
            double upTo = below + law.Probabilities[i], share = upTo > 0 ? law.Probabilities[i] / upTo : 0;
            // (1 − (1 − s)ⁿ)/s, which is n for small s.
            double rise = share < 1e-8 ? N : (1 - Math.Pow(1 - share, N)) / share;
            weights[i] = upTo > 0 ? (N - 1) * Math.Log(upTo) + Math.Log(rise) : double.NegativeInfinity;
            below = upTo;
        }
        return weights;
    }
}

/// <summary>The λ of each prompt that costs a KL.</summary>
/// <param name="Nats">A response.</param>
public sealed record KlBudgetTilt(double Nats) : TiltFunction(FormattableString.Invariant($"kl-budget:{Nats}"))
{
    public override double[] LogWeights(ReturnLaw law) => law.Exponential(Lambda(law));

    public override double Lambda(ReturnLaw law) => law.LambdaForKl(Nats);
}

/// <summary>The λ of each prompt that reaches a mean reward.</summary>
public sealed record TargetRewardTilt(double Reward) : TiltFunction(FormattableString.Invariant($"target-reward:{Reward}"))
{
    public override double[] LogWeights(ReturnLaw law) => law.Exponential(Lambda(law));

    public override double Lambda(ReturnLaw law) => law.LambdaForReward(Reward);
}
