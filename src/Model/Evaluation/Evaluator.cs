using System.Diagnostics;

using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>What is evaluated: a name for the table, and how tokens are drawn.</summary>
/// <param name="Eta">η of the tilt; infinite for π_ref alone, NaN for a tilt without one.</param>
public sealed record Policy(string Name, double Eta, GuidanceRule Rule)
{
    /// <summary>The function of the reward of a weighted tilt.</summary>
    public TiltFunction? Function { get; init; }
}

/// <summary>
/// Runs policies on problems and judges them with the task's own reward. Prompts are read once for all policies: a portion of the
/// problems stays in the cache while one policy after another answers it.
/// </summary>
/// <param name="samples">Responses drawn for each problem.</param>
/// <param name="candidates">K.</param>
/// <param name="originTemperature">Temperature at which the guide's data was sampled, where the KL from that π_ref is wanted; else 0.</param>
public sealed class Evaluator(ITask task, Problem[] problems, int samples, int batchRows, int candidates, float originTemperature = 0)
{
    // Most bytes of keys and values of prompts, beyond one prompt a row: more prompts at once keep the rows full for longer.
    private const long PromptBytes = 1L << 30;
    private const int LargestPortion = 4;   // times the rows
    private const uint VoteStream = 0x766F7465;

    /// <summary>Whether responses keep the residual ρ of each token.</summary>
    public bool KeepsResiduals { get; init; }

    /// <summary>Where finished responses are kept, and those of an earlier run found; null: nowhere.</summary>
    public ResponseFile? Kept { get; init; }

    /// <summary>Samples the responses. The same key gives the same noise to every policy, so differences are paired.</summary>
    /// <param name="judges">Whether the guide, if there is one, judges the finished responses.</param>
    public List<Evaluation> Run(
        IReadOnlyList<Policy> policies, LanguageModel reference, IGuide? guide, Guidance guidance, ulong key, bool judges, IProgressSink progress,
        CancellationToken stop)
    {
        int total = checked(problems.Length * samples), rows = Math.Min(batchRows, total);
        int portion = policies.Count == 1 ? problems.Length : Portion(reference.Config, rows);
        SamplerShape shape = new(
            rows, task.PromptLimit, task.ResponseLimit, candidates, Vocabulary: task.Vocabulary, Prompts: policies.Count == 1 ? 0 : portion);
        bool guided = policies.Any(policy => policy.Rule.IsGuided);
        using Sampler sampler = new(reference, guided ? guide : null, guidance, shape, task.Stops) { OriginTemperature = originTemperature, KeepsPrompts = true };
        using GuideJudge? judge = judges && guide is not null ? new GuideJudge(reference, guide, rows, task.PromptLimit + task.ResponseLimit) : null;
        SampleBatch batch = new(rows, task.PromptLimit, task.ResponseLimit);
        List<ReturnLaw> laws = policies.Any(policy => policy.Function is not null) ? ReadLaws(reference, guide!, policies[^1].Rule, rows, stop) : [];
        Stand[] stands = [.. policies.Select(policy => new Stand(policy, total, laws))];
        progress.Start($"evaluate {string.Join(", ", policies.Select(policy => policy.Name).Distinct())}", (long)total * policies.Count);
        long done = Kept?.Found ?? 0;
        if (done > 0) progress.Report(done, []);   // so that the time left is of the rest
        for (int first = 0; first < problems.Length; first += portion)
        {
            int end = Math.Min(first + portion, problems.Length);
            for (int policy = 0; policy < stands.Length; policy++)
            {
                Stand stand = stands[policy];
                List<int> numbers = [.. Enumerable.Range(first * samples, (end - first) * samples)];
                (List<ScoredResponse> responses, List<int> missing) = Kept?.Look(policy, numbers, samples) ?? ([], numbers);
                stand.Rewards += responses.Sum(response => response.Reward);
                double read = sampler.PromptSeconds;
                long last = Stopwatch.GetTimestamp();
                foreach (int row in sampler.Run(Requests(missing, stand), batch, stand.Policy.Rule, key, stop))
                {
                    long now = Stopwatch.GetTimestamp();
                    responses.Add(Score(batch, row) with { Seconds = Stopwatch.GetElapsedTime(last, now).TotalSeconds - (sampler.PromptSeconds - read) });
                    (last, read) = (now, sampler.PromptSeconds);
                    Kept?.Write(policy, responses[^1]);
                    stand.Rewards += responses[^1].Reward;
                    progress.Report(++done, [("accuracy", stand.Rewards / (stand.Responses.Count + responses.Count))]);
                }
                responses.Sort((a, b) => (a.Problem, a.Sample).CompareTo((b.Problem, b.Sample)));
                stand.Responses.AddRange(judge is null ? responses : Judged(judge, responses, rows));
            }
        }
        List<Evaluation> results = [.. stands.Select(stand => Evaluation(stand, key))];
        progress.Finish(string.Join("; ", results.Select(result => FormattableString.Invariant($"{result.Method} {result.PassAt1.Mean:0.000} ± {result.PassAt1.Error:0.000}"))));
        return results;
    }

    /// <summary>Problems whose prompts stay in the cache together: enough to keep the rows full for a while.</summary>
    private int Portion(TransformerConfig model, int rows)
    {
        long bytes = 8L * model.Layers * model.KvHeads * model.HeadDim * task.PromptLimit;   // of a prompt: keys and values in F32
        long most = Math.Max(rows, Math.Min(LargestPortion * rows, PromptBytes / bytes));
        return (int)Math.Min(problems.Length, Math.Max(1, Math.Min(most, (long)LargestPortion * rows / samples)));
    }

    private IEnumerable<SampleRequest> Requests(List<int> numbers, Stand stand)
    {
        foreach (int at in numbers)
            yield return new SampleRequest(problems[at / samples].Prompt, task.ResponseLimit, at, at) { Weights = stand.Weights(at / samples) };
    }

    private List<ReturnLaw> ReadLaws(LanguageModel reference, IGuide guide, GuidanceRule rule, int rows, CancellationToken stop)
    {
        using PromptLaws reader = new(reference, guide, Math.Min(rows, problems.Length), task.PromptLimit, candidates, task.Vocabulary);
        return reader.Read([.. problems.Select(problem => problem.Prompt)], rule, stop);
    }

    private Evaluation Evaluation(Stand stand, ulong key)
    {
        Policy policy = stand.Policy;
        Evaluation evaluation = new(
            policy.Name, policy.Eta, policy.Rule.Temperature, problems.Length, samples, stand.Responses)
        {
            Tilt = policy.Function?.Name,
            Foretold = stand.Foretold,
        };
        return samples == 1 ? evaluation : evaluation with
        {
            MajorityVote = Vote(evaluation, key, isWeighted: false),
            WeightedVote = evaluation.IsJudged ? Vote(evaluation, key, isWeighted: true) : null,
        };
    }

    private Estimate Vote(Evaluation evaluation, ulong key, bool isWeighted)
    {
        PhiloxStream random = new(Philox.Key(key, VoteStream));
        List<double> rewards = [];
        foreach (IGrouping<int, ScoredResponse> group in evaluation.ByProblem())
        {
            ScoredResponse[] votes = [.. group];
            int[] classes = Voting.Classes([.. votes.Select(vote => task.Answer(problems[group.Key], vote.Tokens))], task.AreSame);
            int elected = isWeighted ? Voting.Weighted(classes, [.. votes.Select(vote => Math.Max(0, vote.Score))], ref random) : Voting.Majority(classes, ref random);
            rewards.Add(elected == Voting.None ? 0 : votes[elected].Reward);
        }
        return Estimate.Of(rewards);
    }

    private IEnumerable<ScoredResponse> Judged(GuideJudge judge, List<ScoredResponse> responses, int rows)
    {
        foreach (ScoredResponse[] part in responses.Chunk(rows))
        {
            double[] scores = judge.Score([.. part.Select(response => (problems[response.Problem].Prompt, response.Tokens))]);
            for (int i = 0; i < part.Length; i++) yield return part[i] with { Score = scores[i] };
        }
    }

    private ScoredResponse Score(SampleBatch batch, int row)
    {
        (int problem, int sample) = Math.DivRem((int)batch.Numbers[row], samples);
        return new ScoredResponse(
            problem, sample, batch.Response(row).ToArray(), task.Reward(problems[problem], batch.Response(row)), batch.Sum(row, SampleStatistics.Kl),
            batch.Sum(row, SampleStatistics.KlFloor),
            originTemperature > 0 ? batch.Sum(row, SampleStatistics.LogPolicy) - batch.OriginLogProb(row) : double.NaN, double.NaN)
        {
            LogTilt = batch.Sum(row, SampleStatistics.LogPolicy) - batch.Sum(row, SampleStatistics.LogReference),
            Residuals = KeepsResiduals ? batch.Column(row, SampleStatistics.Residual) : [],
        };
    }

    /// <summary>How far a policy is.</summary>
    /// <param name="laws">Z at the problems' prompts, where a function of the reward tilts.</param>
    private sealed class Stand(Policy policy, int total, List<ReturnLaw> laws)
    {
        public Policy Policy => policy;

        /// <summary>A problem's log-weights; null without a function.</summary>
        public float[]? Weights(int problem) => policy.Function?.Weights(laws[problem]);

        public Foretold? Foretold => policy.Function is { } function ? Model.Foretold.Of(function, laws) : null;

        public List<ScoredResponse> Responses { get; } = new(total);

        public double Rewards { get; set; }
    }
}
