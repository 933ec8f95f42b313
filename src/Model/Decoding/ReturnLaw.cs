using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>What tilting a law by exp(h) comes to, if the law is right (method notes §7.2).</summary>
/// <param name="LogMean">ln W = ln E[e^h].</param>
/// <param name="Reward">Mean of Z under the tilted law: the guided policy's reward.</param>
/// <param name="Kl">KL of the tilted law from the law: the guided policy's KL from π_ref, nats a response.</param>
public readonly record struct Prospect(double LogMean, double Reward, double Kl);

/// <summary>The distribution Z(x) of the return under π_ref at a prefix x; a prompt, as a rule.</summary>
/// <param name="returns">z, ascending.</param>
/// <param name="probabilities">p of each; their sum is 1.</param>
public sealed class ReturnLaw(double[] returns, double[] probabilities)
{
    // Beyond λ·range = 1000 the law is a point to fp32 and the tilt's own precision ends (method notes §3.1).
    private const double MostLambdaRange = 1000;
    private const int Halvings = 80;

    // What is out of reach gets the λ that comes this close to the end, in nats and of the range of rewards, and not an endless one.
    private const double NearEnough = 1e-6;

    public IReadOnlyList<double> Returns => returns;

    public IReadOnlyList<double> Probabilities => probabilities;

    public double Mean => returns.Zip(probabilities, (z, p) => z * p).Sum();

    private double MostLambda => MostLambdaRange / (returns[^1] - returns[0]);

    /// <summary>The law that a family's probabilities say.</summary>
    public static ReturnLaw Of(ReturnFamily family, double[] probabilities) =>
        new([.. Enumerable.Range(0, family.Returns).Select(i => (double)family.Return(i))], probabilities);

    /// <summary>h = λz.</summary>
    public double[] Exponential(double lambda) => [.. returns.Select(z => lambda * z)];

    /// <summary>Tilted by log-weights of the returns; −∞ is legal, but not for all that have a probability.</summary>
    public Prospect Under(double[] logWeights)
    {
        double most = double.NegativeInfinity, sum = 0, reward = 0, kl = 0;
        for (int i = 0; i < returns.Length; i++) most = Math.Max(most, Math.Log(probabilities[i]) + logWeights[i]);
        for (int i = 0; i < returns.Length; i++) sum += Math.Exp(Math.Log(probabilities[i]) + logWeights[i] - most);
        double logMean = most + Math.Log(sum);
        for (int i = 0; i < returns.Length; i++)
        {
            double tilted = Math.Exp(Math.Log(probabilities[i]) + logWeights[i] - logMean);
            if (tilted == 0) continue;
            reward += tilted * returns[i];
            kl += tilted * (logWeights[i] - logMean);
        }
        return new Prospect(logMean, reward, Math.Max(0, kl));
    }

    /// <summary>Tilted by λz.</summary>
    public Prospect At(double lambda) => Under(Exponential(lambda));

    /// <summary>The λ ≥ 0 that costs a KL; where none costs so much, one that costs next to all there is.</summary>
    public double LambdaForKl(double kl)
    {
        double within = Math.Min(kl, At(MostLambda).Kl - NearEnough);
        return within <= 0 ? 0 : Bisect(0, MostLambda, lambda => At(lambda).Kl < within);
    }

    /// <summary>The λ that reaches a mean reward, negative for one below π_ref's own; where none does, one that comes next to it.</summary>
    public double LambdaForReward(double reward)
    {
        double slack = NearEnough * (returns[^1] - returns[0]), low = At(-MostLambda).Reward + slack, high = At(MostLambda).Reward - slack;
        return low >= high ? 0 : Bisect(-MostLambda, MostLambda, lambda => At(lambda).Reward < Math.Clamp(reward, low, high));
    }

    private static double Bisect(double low, double high, Func<double, bool> isBelow)
    {
        for (int i = 0; i < Halvings; i++)
        {
            double middle = (low + high) / 2;
            if (isBelow(middle)) low = middle;
            else high = middle;
        }
        return high;
    }
}
