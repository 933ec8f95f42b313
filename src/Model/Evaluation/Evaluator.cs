using System.Diagnostics;

using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>What is evaluated: a name for the table, and how tokens are drawn.</summary>
/// <param name="Eta">η of the tilt; infinite for π_ref alone.</param>
public sealed record Policy(string Name, double Eta, GuidanceRule Rule);

/// <summary>Runs policies on problems and judges them with the task's own reward.</summary>
/// <param name="samples">Responses drawn for each problem.</param>
/// <param name="candidates">K.</param>
/// <param name="originTemperature">Temperature at which the guide's data was sampled, where the KL from that π_ref is wanted; else 0.</param>
public sealed class Evaluator(ITask task, Problem[] problems, int samples, int batchRows, int candidates, float originTemperature = 0)
{
    private const uint VoteStream = 0x766F7465;

    /// <summary>Samples the responses. The same key gives the same noise to every policy, so differences are paired.</summary>
    /// <param name="judges">Whether the guide, if there is one, judges the finished responses.</param>
    public Evaluation Run(
        Policy policy, LanguageModel reference, IGuide? guide, Guidance guidance, ulong key, bool judges, IProgressSink progress, CancellationToken stop)
    {
        int total = checked(problems.Length * samples), rows = Math.Min(batchRows, total);
        SamplerShape shape = new(rows, task.PromptLimit, task.ResponseLimit, candidates, Vocabulary: task.Vocabulary);
        using Sampler sampler = new(reference, policy.Rule.IsGuided ? guide : null, guidance, shape, task.Stops) { OriginTemperature = originTemperature };
        using GuideJudge? judge = judges && guide is not null ? new GuideJudge(reference, guide, rows, task.PromptLimit + task.ResponseLimit) : null;
        SampleBatch batch = new(rows, task.PromptLimit, task.ResponseLimit);
        double[] scores = new double[rows];
        Array.Fill(scores, double.NaN);
        List<ScoredResponse> responses = new(total);
        double rewards = 0;
        long tokens = 0;
        Stopwatch clock = new();
        progress.Start($"evaluate {policy.Name}", total);
        for (int at = 0; at < total; at += rows)
        {
            batch.Clear();
            int count = Math.Min(rows, total - at);
            for (int row = 0; row < count; row++) batch.Add(problems[(at + row) / samples].Prompt, task.ResponseLimit, at + row);
            clock.Start();
            sampler.Run(batch, policy.Rule, key, stop);
            clock.Stop();
            judge?.Score(batch, scores);
            for (int row = 0; row < count; row++)
            {
                int problem = (at + row) / samples;
                ScoredResponse response = Score(batch, row, problem, (at + row) % samples, scores[row]);
                responses.Add(response);
                rewards += response.Reward;
                tokens += response.Tokens.Length;
            }
            progress.Report(at + count, [("accuracy", rewards / (at + count)), ("tokens/s", tokens / Math.Max(clock.Elapsed.TotalSeconds, 1e-6))]);
        }
        double seconds = Math.Max(clock.Elapsed.TotalSeconds, 1e-6);
        Evaluation evaluation = new(policy.Name, policy.Eta, policy.Rule.Temperature, problems.Length, samples, responses, tokens / seconds);
        if (samples > 1) evaluation = evaluation with { MajorityVote = Vote(evaluation, key, isWeighted: false), WeightedVote = evaluation.IsJudged ? Vote(evaluation, key, isWeighted: true) : null };
        progress.Finish(FormattableString.Invariant($"accuracy {evaluation.PassAt1.Mean:0.000} ± {evaluation.PassAt1.Error:0.000}"));
        return evaluation;
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

    private ScoredResponse Score(SampleBatch batch, int row, int problem, int sample, double score) => new(
        problem, sample, batch.Response(row).ToArray(), task.Reward(problems[problem], batch.Response(row)), batch.Sum(row, SampleStatistics.Kl),
        batch.Sum(row, SampleStatistics.KlFloor), originTemperature > 0 ? batch.Sum(row, SampleStatistics.LogPolicy) - batch.OriginLogProb(row) : double.NaN, score);
}
