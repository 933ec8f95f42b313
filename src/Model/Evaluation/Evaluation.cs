using System.Globalization;

using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>A mean and its standard error, which is NaN where a single value does not tell it.</summary>
public readonly record struct Estimate(double Mean, double Error)
{
    /// <summary>Of independent values.</summary>
    public static Estimate Of(IReadOnlyList<double> values)
    {
        double mean = values.Average();
        int n = values.Count;
        return new Estimate(mean, n < 2 ? double.NaN : Math.Sqrt(values.Sum(value => (value - mean) * (value - mean)) / n / (n - 1)));
    }

    /// <summary>0.417 ± 0.031, with a dash for an error that is not known.</summary>
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{Mean:0.000} ± {(double.IsNaN(Error) ? "–" : Error.ToString("0.000", CultureInfo.InvariantCulture))}");
}

/// <summary>What a guide says at the prompt, before anything is drawn; means over problems.</summary>
/// <param name="Lambda">λ; NaN where the tilt is no λz.</param>
/// <param name="Kl">From π_ref, nats a response.</param>
public sealed record Foretold(double Lambda, double Reward, double Kl)
{
    public static Foretold Of(TiltFunction function, IReadOnlyList<ReturnLaw> laws)
    {
        Prospect[] prospects = [.. laws.Select(law => law.Under(function.LogWeights(law)))];
        return new Foretold(laws.Average(function.Lambda), prospects.Average(prospect => prospect.Reward), prospects.Average(prospect => prospect.Kl));
    }
}

/// <summary>A sampled response and what is known of it.</summary>
/// <param name="Problem">Index among the evaluated problems.</param>
/// <param name="Sample">Which of the problem's samples.</param>
/// <param name="Kl">
/// Σ KL(π ‖ q) over its tokens, exact per step (but for <see cref="Evaluation.IsDrawnByRejection"/>), q being π_ref as it is shaped for
/// this policy; nats.
/// </param>
/// <param name="KlFloor">Σ −ln q(S), what top-p cut away; 0 without top-p.</param>
/// <param name="LogRatio">
/// ln π(response) − ln π_ref(response) with π_ref as it was sampled for the guide's data, whose mean is the KL from it: infinite where
/// that π_ref never draws such a token, as with top-p; NaN where not asked for.
/// </param>
/// <param name="Score">What a guide thinks of it (<see cref="GuideJudge"/>); NaN where not asked.</param>
public sealed record ScoredResponse(int Problem, int Sample, int[] Tokens, float Reward, double Kl, double KlFloor, double LogRatio, double Score)
{
    /// <summary>ln π(response) under the law that it was drawn from; 0 where its tokens were the likeliest ones, not drawn.</summary>
    public double LogPolicy { get; init; }

    /// <summary>ln π(response) − ln q(response), as exact as <see cref="Kl"/>, q being π_ref as it is shaped for this policy.</summary>
    public double LogTilt { get; init; }

    /// <summary>Of decoding, since the response that ended before this one; prompts, which all policies share, are not counted.</summary>
    public double Seconds { get; init; }

    /// <summary>ρ of each token (<see cref="SampleStatistics.Residual"/>); empty where not asked for.</summary>
    public float[] Residuals { get; init; } = [];
}

/// <summary>One policy on one set of problems.</summary>
/// <param name="Eta">η of the tilt; infinite for π_ref alone, NaN for a trained policy and a tilt without one.</param>
/// <param name="Temperature">Of π_ref, as this policy samples it.</param>
/// <param name="Problems">How many.</param>
/// <param name="Samples">Of each problem.</param>
public sealed record Evaluation(string Method, double Eta, float Temperature, int Problems, int Samples, IReadOnlyList<ScoredResponse> Responses)
{
    /// <summary>Response tokens a second of decoding.</summary>
    public double TokensPerSecond => Responses.Sum(response => (long)response.Tokens.Length) / Math.Max(Responses.Sum(response => response.Seconds), 1e-6);

    /// <summary>pass@1: mean reward over problems and samples, its error over problems (over samples where there is one problem).</summary>
    public Estimate PassAt1 => OverProblems(response => response.Reward);

    /// <summary>Blocks from which the best went on; null where every token was tilted. Of such a policy a bound on the KL is known, and <see cref="Kl"/> is that.</summary>
    public BlockSettings? Blocks { get; init; }

    /// <summary>Whether the whole vocabulary was drawn from by rejection, so that KL and ln π of each token are estimates without bias, not exact.</summary>
    public bool IsDrawnByRejection { get; init; }

    /// <summary>KL(π ‖ q|S): what the guidance does.</summary>
    public Estimate Kl => OverProblems(response => response.Kl);

    /// <summary>−ln q(S): what top-p does.</summary>
    public Estimate KlFloor => OverProblems(response => response.KlFloor);

    /// <summary>KL(π ‖ q) as the official code reports it: the sum of both.</summary>
    public Estimate KlPaper => OverProblems(response => response.Kl + response.KlFloor);

    /// <summary>KL from π_ref as the guide's data was sampled; an unbiased estimate, not exact per step. Null where not asked for.</summary>
    public Estimate? KlOrigin => Responses.Any(response => double.IsNaN(response.LogRatio)) ? null : OverProblems(response => response.LogRatio);

    /// <summary>The function of the reward that tilted, by its name; null for exp(reward/η).</summary>
    public string? Tilt { get; init; }

    /// <summary>What the guide foretold of that; null for exp(reward/η).</summary>
    public Foretold? Foretold { get; init; }

    /// <summary>maj@k: reward of the response that the samples' answers elect (method notes §5.2); null with one sample.</summary>
    public Estimate? MajorityVote { get; init; }

    /// <summary>The same with the guide's judgement as the weight of a vote; null where it has not judged.</summary>
    public Estimate? WeightedVote { get; init; }

    /// <summary>Whether a guide has judged the responses.</summary>
    public bool IsJudged => Responses.All(response => !double.IsNaN(response.Score));

    /// <summary>Reward of the best of n samples by the guide's judgement, a mean over all choices of n.</summary>
    public Estimate BestOf(int n) => OverSubsets(n, response => response.Score);

    /// <summary>pass@n: reward of the best of n samples by the reward itself.</summary>
    public Estimate PassAt(int n) => OverSubsets(n, response => response.Reward);

    /// <summary>Mean length of a response.</summary>
    public double Tokens => Responses.Average(response => response.Tokens.Length);

    /// <summary>pass@1 less that of another policy on the same problems and seeds, problem by problem (sample by sample where there is one problem).</summary>
    public Estimate Gain(Evaluation over) =>
        Estimate.Of([.. Independent(response => response.Reward).Zip(over.Independent(response => response.Reward), (mine, other) => mine - other)]);

    private Estimate OverProblems(Func<ScoredResponse, double> value) => Estimate.Of(Independent(value));

    /// <summary>Of one problem nothing is known across its samples, so the error is not either.</summary>
    private Estimate OverSubsets(int n, Func<ScoredResponse, double> score) => Estimate.Of([.. ByProblem().Select(samples =>
        Subsets.BestOf([.. samples.Select(score)], [.. samples.Select(sample => (double)sample.Reward)], n))]);

    /// <summary>Values whose scatter tells the error: means of the problems, or the samples of the only one.</summary>
    private double[] Independent(Func<ScoredResponse, double> value) => Problems == 1
        ? [.. Responses.OrderBy(response => response.Sample).Select(value)]
        : [.. ByProblem().Select(samples => samples.Average(value))];

    internal IEnumerable<IGrouping<int, ScoredResponse>> ByProblem() => Responses.GroupBy(response => response.Problem).OrderBy(group => group.Key);
}
