using System.Text.Json.Nodes;

namespace QSharp.Model;

/// <summary>
/// Ratios of a policy's visits to those of π_ref's own responses, at the first token, the middle one and the last: as a ν learned
/// them (<see cref="DiceObjective.DualDice"/>), and as they are known here, where a text holds all that came before it:
/// Π_{i≤t} π/π_ref(y_i|x_i) (method notes §4.6).
/// </summary>
public sealed record RatioDiagnosis(RatioFit Root, RatioFit Middle, RatioFit End)
{
    /// <param name="nu">After training, with these roll-outs to judge.</param>
    /// <param name="rows">Of its batches.</param>
    public static RatioDiagnosis Of(
        NuLearner nu, LanguageModel policy, LanguageModel reference, IReadOnlyList<Rollout> rollouts, int rows, IProgressSink progress, CancellationToken stop)
    {
        int vocabulary = nu.Outputs.Shape.Last;
        using Scorer own = new(policy, top: 1, vocabulary), before = new(reference, top: 1, vocabulary);
        List<(double Learned, double Known)> root = [], middle = [], end = [];
        progress.Start("ratios", rollouts.Count);
        for (int first = 0; first < rollouts.Count; first += rows)
        {
            stop.ThrowIfCancellationRequested();
            nu.Judge(first / rows);
            for (int row = 0; row < rows && first + row < rollouts.Count; row++)
            {
                double[] known = Known(rollouts[first + row], own, before);
                int start = nu.Batch.LossesOf(row).Start;
                foreach ((List<(double, double)> place, int t) in ((List<(double, double)>, int)[])[(root, 0), (middle, known.Length / 2), (end, known.Length - 1)])
                    place.Add((nu.Ratios[start + t], known[t]));
            }
            progress.Report(Math.Min(first + rows, rollouts.Count), []);
        }
        progress.Finish(FormattableString.Invariant($"{rollouts.Count} responses"));
        return new RatioDiagnosis(RatioFit.Of(root), RatioFit.Of(middle), RatioFit.Of(end));
    }

    /// <summary>The three places by name.</summary>
    public IEnumerable<(string Place, RatioFit Fit)> Places => [("root", Root), ("middle", Middle), ("end", End)];

    public JsonObject ToJson() => new(Places.Select(place => KeyValuePair.Create<string, JsonNode?>(place.Place, place.Fit.ToJson())));

    /// <summary>Of each token that the model wrote; what an environment wrote is no choice of either policy.</summary>
    private static double[] Known(Rollout rollout, Scorer own, Scorer before)
    {
        IReadOnlyList<float> policy = own.Score(rollout.Tokens).LogProbs, reference = before.Score(rollout.Tokens).LogProbs;
        List<double> ratios = [];
        double sum = 0;
        for (int t = rollout.PromptLength; t < rollout.Tokens.Length; t++)
        {
            if (rollout.Replies?[t] == true) continue;
            sum += (double)policy[t - 1] - reference[t - 1];
            ratios.Add(Math.Exp(sum));
        }
        return [.. ratios];
    }
}

/// <summary>How learned ratios compare with known ones on π_ref's responses, where each has a mean of 1.</summary>
/// <param name="Correlation">NaN where either does not vary.</param>
/// <param name="Error">Root mean square of the difference.</param>
public sealed record RatioFit(double Mean, double Variance, double KnownMean, double KnownVariance, double Correlation, double Error)
{
    public static RatioFit Of(IReadOnlyList<(double Learned, double Known)> pairs)
    {
        double mean = pairs.Average(pair => pair.Learned), knownMean = pairs.Average(pair => pair.Known);
        double variance = pairs.Average(pair => (pair.Learned - mean) * (pair.Learned - mean));
        double knownVariance = pairs.Average(pair => (pair.Known - knownMean) * (pair.Known - knownMean));
        double covariance = pairs.Average(pair => (pair.Learned - mean) * (pair.Known - knownMean));
        return new RatioFit(
            mean, variance, knownMean, knownVariance, variance > 0 && knownVariance > 0 ? covariance / Math.Sqrt(variance * knownVariance) : double.NaN,
            Math.Sqrt(pairs.Average(pair => (pair.Learned - pair.Known) * (pair.Learned - pair.Known))));
    }

    public JsonObject ToJson() => new()
    {
        ["mean"] = Mean,
        ["variance"] = Variance,
        ["known_mean"] = KnownMean,
        ["known_variance"] = KnownVariance,
        ["correlation"] = DataDiagnosis.Number(Correlation),
        ["error"] = Error,
    };
}
