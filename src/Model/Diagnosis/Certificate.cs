using System.Text.Json.Nodes;

namespace QSharp.Model;

/// <summary>
/// What guided samples say of the guide that drew them, exact for any guide (method notes §7.3): the weight of a response is
/// ln w = λR + Σ [ln Σ q·Ŵ − ln Ŵ(chosen)] = λR − ln π/q, E[w] = W without bias, and η(ln W − E ln w) = η·KL(π ‖ π*) is how
/// much of the best J = E[R] − η·KL is missed. q is π_ref as temperature and top-p shape it. Where tokens outside of the
/// candidates are cut off, E[w] is W of what is left.
/// </summary>
/// <param name="LogMean">ln W, mean over problems of the logarithm of the mean weight (which is low by half its relative variance over the samples).</param>
/// <param name="Regret">In reward.</param>
/// <param name="EffectiveShare">Effective share of a problem's samples, by their weights; 1 for an optimal guide.</param>
/// <param name="Reward">Of π*, by the weighted mean.</param>
public sealed record Certificate(Estimate LogMean, Estimate Regret, double EffectiveShare, double Reward)
{
    /// <param name="evaluation">Of a guided policy that is λz.</param>
    /// <returns>Null where it cannot be told: from one sample of each problem, or from tokens drawn by rejection, whose ln Σ q·Ŵ are estimates (unbiased, but the mean of their exponentials is not).</returns>
    public static Certificate? Of(Evaluation evaluation)
    {
        if (evaluation.Samples < 2 || evaluation.IsDrawnByRejection) return null;
        double lambda = 1 / evaluation.Eta;
        List<Part> parts = [.. evaluation.ByProblem().Select(group => Part.Of([.. group], lambda))];
        return new Certificate(
            Join(parts, part => part.LogMean, part => part.LogMeanError), Join(parts, part => part.Regret, part => part.RegretError),
            parts.Average(part => part.EffectiveShare), parts.Average(part => part.Reward));
    }

    public JsonObject ToJson() => new()
    {
        ["log_mean_weight"] = LogMean.Mean,
        ["log_mean_weight_stderr"] = LogMean.Error,
        ["regret"] = Regret.Mean,
        ["regret_stderr"] = Regret.Error,
        ["effective_share"] = EffectiveShare,
        ["optimal_reward"] = Reward,
    };

    private static Estimate Join(List<Part> parts, Func<Part, double> mean, Func<Part, double> error) =>
        new(parts.Average(mean), Math.Sqrt(parts.Sum(part => error(part) * error(part))) / parts.Count);

    /// <summary>Of one problem.</summary>
    private sealed record Part(double LogMean, double LogMeanError, double Regret, double RegretError, double EffectiveShare, double Reward)
    {
        public static Part Of(ScoredResponse[] samples, double lambda)
        {
            double[] logs = [.. samples.Select(sample => lambda * sample.Reward - sample.LogTilt)];
            double top = logs.Max(), meanLog = logs.Average();
            double[] weights = [.. logs.Select(log => Math.Exp(log - top))];
            double mean = weights.Average(), logMean = top + Math.Log(mean);
            // A sample's influence on ln of the mean weight, and on the regret.
            double[] influence = [.. weights.Select(weight => weight / mean - 1)];
            double[] ofRegret = [.. influence.Zip(logs, (each, log) => (each - (log - meanLog)) / lambda)];
            return new Part(
                logMean, Estimate.Of(influence).Error, (logMean - meanLog) / lambda, Estimate.Of(ofRegret).Error,
                mean * mean / weights.Average(weight => weight * weight), weights.Zip(samples, (weight, sample) => weight * sample.Reward).Sum() / weights.Sum());
        }
    }
}
