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
/// <param name="origin">π_ref as it was sampled for the guide's data, where the KL from that is wanted; else null.</param>
public sealed class Evaluator(ITask task, Problem[] problems, int samples, int batchRows, int candidates, GuidanceRule? origin = null)
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
        using Sampler sampler = new(reference, guided ? guide : null, guidance, shape, task.Stops) { Origin = origin, KeepsPrompts = true };
        using GuideJudge? judge = judges && guide is not null ? new GuideJudge(reference, guide, rows, task.PromptLimit + task.ResponseLimit) : null;
        SampleBatch batch = new(rows, task.PromptLimit, task.ResponseLimit);
        Stand[] stands = [.. ReadLaws(policies, reference, guide, rows, stop).Zip(policies, (laws, policy) => new Stand(policy, total, laws))];
        bool rejects = guide?.Settings.Kind == HeadKind.V && candidates == GuideRecipe.AllCandidates;
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
                    responses.Add(Score(batch, row, stand.Policy.Rule) with { Seconds = Stopwatch.GetElapsedTime(last, now).TotalSeconds - (sampler.PromptSeconds - read) });
                    (last, read) = (now, sampler.PromptSeconds);
                    Kept?.Write(policy, responses[^1]);
                    stand.Rewards += responses[^1].Reward;
                    progress.Report(++done, [("accuracy", stand.Rewards / (stand.Responses.Count + responses.Count))]);
                }
                responses.Sort((a, b) => (a.Problem, a.Sample).CompareTo((b.Problem, b.Sample)));
                stand.Responses.AddRange(judge is null ? responses : Judged(judge, responses, rows));
            }
        }
        List<Evaluation> results = [.. stands.Select(stand => Evaluation(stand, key) with { IsDrawnByRejection = rejects && stand.Policy.Rule.IsGuided })];
        progress.Finish(string.Join("; ", results.Select(result => $"{result.Method} {result.PassAt1}")));
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

    /// <summary>Z at the problems' prompts for each policy, read once for each shape of π_ref; nothing for one without a function of the reward.</summary>
    private List<List<ReturnLaw>> ReadLaws(IReadOnlyList<Policy> policies, LanguageModel reference, IGuide? guide, int rows, CancellationToken stop)
    {
        if (policies.All(policy => policy.Function is null)) return [.. policies.Select(_ => new List<ReturnLaw>())];
        using PromptLaws reader = new(reference, guide!, Math.Min(rows, problems.Length), task.PromptLimit, candidates, task.Vocabulary);
        int[][] prompts = [.. problems.Select(problem => problem.Prompt)];
        Dictionary<(float, float), List<ReturnLaw>> read = [];
        List<List<ReturnLaw>> laws = [];
        foreach (Policy policy in policies)
        {
            (float, float) shape = (policy.Rule.Temperature, policy.Rule.TopP);
            if (policy.Function is not null && !read.ContainsKey(shape)) read[shape] = reader.Read(prompts, policy.Rule, stop);
            laws.Add(policy.Function is null ? [] : read[shape]);
        }
        return laws;
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

    private ScoredResponse Score(SampleBatch batch, int row, GuidanceRule rule)
    {
        (int problem, int sample) = Math.DivRem((int)batch.Numbers[row], samples);
        // Statistics of a token that is taken, not drawn, are those of the law at temperature 1.
        double logPolicy = rule.Temperature == 0 ? 0 : batch.Sum(row, SampleStatistics.LogPolicy);
        // Under the very law that was tilted, it is known without asking whether a token at the edge of its top-p set is in.
        bool isOrigin = origin is not null && (rule.Temperature, rule.TopP) == (origin.Temperature, origin.TopP) && !rule.CutsTilted;
        double logOrigin = isOrigin ? batch.Sum(row, SampleStatistics.LogReference) : batch.OriginLogProb(row);
        return new ScoredResponse(
            problem, sample, batch.Response(row).ToArray(), task.Reward(problems[problem], batch.Response(row)), batch.Sum(row, SampleStatistics.Kl),
            batch.Sum(row, SampleStatistics.KlFloor),
            origin is null ? double.NaN : logPolicy - logOrigin, double.NaN)
        {
            LogPolicy = logPolicy,
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
