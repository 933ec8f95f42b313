using System.Diagnostics;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>One policy on an interactive task; errors are over problems.</summary>
/// <param name="Predicted">What the guide itself says of the prompts, η ln Σ π_ref(y) exp(g(y)); 0 for π_ref.</param>
/// <param name="Objective">J_η = E[R] − η·KL, achieved.</param>
public sealed record EpisodeEvaluation(string Method, Estimate Predicted, Estimate Objective, Estimate Reward, Estimate Kl);

public sealed partial class Experiment
{
    /// <summary>Adds whole responses of π_ref to an interactive task to a data set, one a problem, going on where an interrupted call stopped.</summary>
    /// <param name="total">Roll-outs that the set holds in the end.</param>
    public void CollectEpisodes(IInteractiveTask interactive, string folder, LanguageModel reference, long total, PhaseClock clock)
    {
        using PhaseClock.Running running = clock.Start("collect");
        using RolloutFile file = OpenSet(folder, Shard.Whole, reference, Collection(recipe.Reference, samplesPerProblem: 1, hidden: false), round: 1, new JsonObject { ["roll_in"] = "none" }, total);
        if (file.Records >= total) return;
        using FusedGuidance guidance = new(ops);
        using EpisodeSampler sampler = new(interactive, reference, null, guidance, rows, recipe.Candidates);
        ulong problemKey = Philox.Key(seed, PostTrainStream);
        long from = file.Records;
        double rewards = 0;
        progress.Start("collect", total);
        for (long at = from; at < total; at = file.Records)
        {
            Problem[] problems = [.. Enumerable.Range(0, (int)Math.Min(rows, total - at)).Select(row => Task.Problem(Split.PostTrain, problemKey, at + row))];
            Episode[] episodes = sampler.Run(problems, checked((int)at), recipe.Reference, Philox.Key(seed, EpisodeStream), stop);
            file.Write([.. episodes.Select((episode, row) => Rollout(problems[row], at + row, episode))]);
            rewards += episodes.Sum(episode => episode.Reward);
            progress.Report(file.Records, [("reward", rewards / (file.Records - from))]);
        }
        progress.Finish(FormattableString.Invariant($"mean reward {rewards / (total - from):0.000}"));
    }

    /// <summary>Evaluates π_ref, or a guide by a method, with the same noise for all.</summary>
    /// <param name="method">Null: π_ref.</param>
    /// <param name="eta">η of the objective, and of the tilt.</param>
    public EpisodeEvaluation EvaluateEpisodes(
        IInteractiveTask interactive, LanguageModel reference, IGuide? guide, ValueMethod? method, double eta, Problem[] problems, int samples, PhaseClock clock)
    {
        using PhaseClock.Running running = clock.Start("evaluate");
        GuidanceRule rule = method is null ? recipe.Reference : recipe.With(guide).Rule(method, eta);
        string name = method?.Name ?? "reference";
        using FusedGuidance guidance = new(ops);
        using EpisodeSampler sampler = new(interactive, reference, guide, guidance, rows, recipe.Candidates);
        int total = checked(problems.Length * samples);
        List<Episode> episodes = new(total);
        progress.Start($"evaluate {name}", total);
        Stopwatch watch = Stopwatch.StartNew();
        while (episodes.Count < total)
        {
            int at = episodes.Count, count = Math.Min(rows, total - at);
            episodes.AddRange(sampler.Run([.. Enumerable.Range(at, count).Select(i => problems[i / samples])], at, rule, Philox.Key(seed, EvaluateStream), stop));
            progress.Report(episodes.Count, [("responses/s", episodes.Count / Math.Max(watch.Elapsed.TotalSeconds, 1e-6))]);
        }
        EpisodeEvaluation result = new(
            name, Over(episode => method is null ? 0 : eta * episode.LogNormalizer), Over(episode => episode.Reward - (method is null ? 0 : eta * episode.Kl)),
            Over(episode => episode.Reward), Over(episode => episode.Kl));
        progress.Finish(FormattableString.Invariant($"reward {result.Reward.Mean:0.000} ± {result.Reward.Error:0.000}"));
        return result;

        Estimate Over(Func<Episode, double> value) => Estimate.Of([.. episodes.Chunk(samples).Select(of => of.Average(value))]);
    }

    private static Rollout Rollout(Problem problem, long sample, Episode episode) =>
        new(sample, sample, 1, [.. problem.Prompt, .. episode.Tokens], problem.Prompt.Length, 0, 0, episode.Reward)
        {
            Replies = episode.Replies.Contains(true) ? [.. new bool[problem.Prompt.Length], .. episode.Replies] : null,
        };
}
