using System.Diagnostics;

using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>One policy on one set of problems.</summary>
/// <param name="Eta">η of the tilt; infinite for π_ref alone.</param>
/// <param name="Kl">Mean over responses of the summed exact per-token KL(π ‖ π_ref), in nats.</param>
public sealed record Evaluation(string Method, double Eta, int Problems, double Accuracy, double StandardError, double Kl, double TokensPerSecond);

/// <summary>Runs a policy on problems and judges it with the task's own reward.</summary>
public sealed class Evaluator(ITask task, Problem[] problems, int batchRows, int candidates)
{
    /// <summary>Samples one response a problem. The same seed gives the same noise to every policy, so differences are paired.</summary>
    /// <param name="onResponse">Called with each problem and its response.</param>
    public Evaluation Run(
        string method, double eta, LanguageModel reference, ValueModel? guide, Guidance guidance, GuidanceRule rule, ulong key,
        IProgressSink progress, CancellationToken stop, Action<Problem, ReadOnlyMemory<int>>? onResponse = null)
    {
        int rows = Math.Min(batchRows, problems.Length);
        using Sampler sampler = new(reference, rule.IsGuided ? guide : null, guidance, rows, task.PromptLimit, task.ResponseLimit, candidates, []);
        SampleBatch batch = new(rows, task.PromptLimit, task.ResponseLimit);
        double rewards = 0, squares = 0, kl = 0;
        long tokens = 0;
        Stopwatch clock = new();
        progress.Start($"evaluate {method}", problems.Length);
        for (int at = 0; at < problems.Length; at += rows)
        {
            batch.Clear();
            int count = Math.Min(rows, problems.Length - at);
            for (int row = 0; row < count; row++) batch.Add(problems[at + row].Prompt, task.ResponseLimit, at + row);
            clock.Start();
            sampler.Run(batch, rule, key, stop);
            clock.Stop();
            for (int row = 0; row < count; row++)
            {
                double reward = task.Reward(problems[at + row], batch.Response(row));
                rewards += reward;
                squares += reward * reward;
                kl += batch.Sum(row, SampleStatistics.Kl);
                tokens += batch.ResponseLengths[row];
                onResponse?.Invoke(problems[at + row], batch.Response(row).ToArray());
            }
            progress.Report(at + count, [("accuracy", rewards / (at + count)), ("tokens/s", tokens / Math.Max(clock.Elapsed.TotalSeconds, 1e-6))]);
        }
        int n = problems.Length;
        double mean = rewards / n;
        double error = n < 2 ? 0 : Math.Sqrt(Math.Max(squares / n - mean * mean, 0) / (n - 1));
        progress.Finish(FormattableString.Invariant($"accuracy {mean:0.000} ± {error:0.000}"));
        return new Evaluation(method, eta, n, mean, error, kl / n, tokens / Math.Max(clock.Elapsed.TotalSeconds, 1e-6));
    }
}
