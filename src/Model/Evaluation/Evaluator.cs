using System.Diagnostics;

using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>One policy on one set of problems.</summary>
/// <param name="Eta">η of the tilt; infinite for π_ref alone, NaN for a trained policy.</param>
/// <param name="Accuracy">pass@1: mean reward over problems and samples.</param>
/// <param name="StandardError">Over problems; over samples where there is one problem.</param>
/// <param name="Kl">Mean over responses of the summed exact per-token KL(π ‖ π_ref), in nats.</param>
/// <param name="Tokens">Mean length of a response.</param>
public sealed record Evaluation(
    string Method, double Eta, int Problems, double Accuracy, double StandardError, double Kl, double Tokens, double TokensPerSecond);

/// <summary>Runs a policy on problems and judges it with the task's own reward.</summary>
/// <param name="samples">Responses drawn for each problem.</param>
public sealed class Evaluator(ITask task, Problem[] problems, int samples, int batchRows, int candidates)
{
    /// <summary>Samples the responses. The same seed gives the same noise to every policy, so differences are paired.</summary>
    /// <param name="onResponse">Called with each problem, its response and the response's KL.</param>
    public Evaluation Run(
        string method, double eta, LanguageModel reference, IGuide? guide, Guidance guidance, GuidanceRule rule, ulong key,
        IProgressSink progress, CancellationToken stop, Action<Problem, ReadOnlyMemory<int>, double>? onResponse = null)
    {
        int total = checked(problems.Length * samples), rows = Math.Min(batchRows, total);
        SamplerShape shape = new(rows, task.PromptLimit, task.ResponseLimit, candidates, Vocabulary: task.Vocabulary);
        using Sampler sampler = new(reference, rule.IsGuided ? guide : null, guidance, shape, task.Stops);
        SampleBatch batch = new(rows, task.PromptLimit, task.ResponseLimit);
        double[] rewards = new double[total];
        double kl = 0, rewardSum = 0;
        long tokens = 0;
        Stopwatch clock = new();
        progress.Start($"evaluate {method}", total);
        for (int at = 0; at < total; at += rows)
        {
            batch.Clear();
            int count = Math.Min(rows, total - at);
            for (int row = 0; row < count; row++) batch.Add(problems[(at + row) / samples].Prompt, task.ResponseLimit, at + row);
            clock.Start();
            sampler.Run(batch, rule, key, stop);
            clock.Stop();
            for (int row = 0; row < count; row++)
            {
                Problem problem = problems[(at + row) / samples];
                double responseKl = batch.Sum(row, SampleStatistics.Kl);
                rewards[at + row] = task.Reward(problem, batch.Response(row));
                rewardSum += rewards[at + row];
                kl += responseKl;
                tokens += batch.ResponseLengths[row];
                onResponse?.Invoke(problem, batch.Response(row).ToArray(), responseKl);
            }
            progress.Report(at + count, [("accuracy", rewardSum / (at + count)), ("tokens/s", tokens / Math.Max(clock.Elapsed.TotalSeconds, 1e-6))]);
        }
        (double mean, double error) = MeanAndError(problems.Length == 1 ? rewards : [.. rewards.Chunk(samples).Select(each => each.Average())]);
        progress.Finish(FormattableString.Invariant($"accuracy {mean:0.000} ± {error:0.000}"));
        double seconds = Math.Max(clock.Elapsed.TotalSeconds, 1e-6);
        return new Evaluation(method, eta, problems.Length, mean, error, kl / total, (double)tokens / total, tokens / seconds);
    }

    /// <summary>The mean of independent values and its standard error.</summary>
    public static (double Mean, double Error) MeanAndError(IReadOnlyList<double> values)
    {
        double mean = values.Average();
        int n = values.Count;
        return (mean, n < 2 ? 0 : Math.Sqrt(values.Sum(value => (value - mean) * (value - mean)) / n / (n - 1)));
    }
}
