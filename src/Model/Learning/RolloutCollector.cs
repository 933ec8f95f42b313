using System.Diagnostics;
using System.Runtime.InteropServices;

using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>How samples start.</summary>
public enum RollIn
{
    /// <summary>π_ref gives the whole response: what the paper does on star graphs, and all positions bear its return.</summary>
    None,

    /// <summary>
    /// A response of the current policy is cut at a uniform place, at least one token kept, and continued by π_ref
    /// (Algorithm 1). In round 1 the current policy is π_ref.
    /// </summary>
    Policy,
}

/// <param name="SamplesPerProblem">Samples of each prompt.</param>
/// <param name="Hidden">Whether π_ref's hidden states are wanted too.</param>
/// <param name="Rule">The roll-in policy; <see cref="GuidanceRule.Reference"/> in round 1.</param>
public sealed record CollectSettings(int SamplesPerProblem, RollIn RollIn, GuidanceRule Rule, int Round, ulong Seed, int BatchRows, int Candidates, bool Hidden = false);

/// <summary>Takes a batch of roll-outs.</summary>
/// <param name="hidden">[tokens of all responses, C]: π_ref's hidden states where they are wanted, else empty; gone with the next batch.</param>
public delegate void CollectedBatch(Rollout[] rollouts, ReadOnlySpan<Half> hidden);

/// <summary>
/// Collects roll-outs. Sample i is a function of (seed, round, i) alone: its problem, its noise and its cut; so batching,
/// interruption and the number of threads do not change the data.
/// </summary>
public sealed class RolloutCollector : IDisposable
{
    private const uint RollInStream = 0x10, RollOutStream = 0x20, CutStream = 0x30;

    private readonly ITask _task;
    private readonly CollectSettings _settings;
    private readonly ulong _problemKey;
    private readonly Sampler _rollIn;
    private readonly Sampler _rollOut;
    private readonly SampleBatch _first, _second;
    private readonly Problem[] _problems;
    private readonly List<Half> _hidden = [];       // of the batch at hand

    /// <param name="problemKey">Key of the post-training split's problems.</param>
    public RolloutCollector(ITask task, LanguageModel reference, IGuide? guide, CollectSettings settings, ulong problemKey)
    {
        _task = task;
        _settings = settings;
        _problemKey = problemKey;
        int rows = settings.BatchRows, prompt = task.PromptLimit, response = task.ResponseLimit;
        FusedGuidance guidance = new(reference.Ops);
        SamplerShape shape = new(rows, prompt, response, settings.Candidates, Vocabulary: task.Vocabulary);
        _rollIn = new Sampler(reference, settings.Rule.IsGuided ? guide : null, guidance, shape, task.Stops);
        _rollOut = settings.RollIn == RollIn.None
            ? _rollIn
            : new Sampler(reference, null, guidance, shape with { PromptTokens = prompt + response, RowTokens = prompt + response }, task.Stops);
        int width = settings.Hidden ? reference.Config.Width : 0;
        _first = new SampleBatch(rows, prompt, response, width);
        _second = new SampleBatch(rows, prompt + response, response, width);
        _problems = new Problem[rows];
    }

    /// <summary>Collects samples <paramref name="from"/> … <paramref name="to"/> − 1, handing each finished batch on.</summary>
    public void Run(long from, long to, CollectedBatch batchDone, IProgressSink progress, CancellationToken stop)
    {
        progress.Start($"collect (round {_settings.Round})", to);
        Stopwatch clock = Stopwatch.StartNew();
        long tokens = 0;
        double rewards = 0;
        for (long at = from; at < to;)
        {
            stop.ThrowIfCancellationRequested();
            int count = (int)Math.Min(_settings.BatchRows, to - at);
            _hidden.Clear();
            Rollout[] batch = Collect(at, count, stop);
            batchDone(batch, CollectionsMarshal.AsSpan(_hidden));
            at += count;
            foreach (Rollout rollout in batch)
            {
                tokens += rollout.Tokens.Length - rollout.PromptLength;
                rewards += rollout.Reward;
            }
            progress.Report(at, [("reward", rewards / (at - from)), ("tokens/s", tokens / Math.Max(clock.Elapsed.TotalSeconds, 1e-6))]);
        }
        progress.Finish(FormattableString.Invariant($"mean reward {rewards / Math.Max(to - from, 1):0.000}"));
    }

    public void Dispose()
    {
        _rollIn.Dispose();
        if (!ReferenceEquals(_rollIn, _rollOut)) _rollOut.Dispose();
    }

    private Rollout[] Collect(long at, int count, CancellationToken stop)
    {
        uint round = (uint)_settings.Round;
        _first.Clear();
        for (int row = 0; row < count; row++)
        {
            _problems[row] = _task.Problem(Split.PostTrain, _problemKey, (at + row) / _settings.SamplesPerProblem);
            _first.Add(_problems[row].Prompt, _task.ResponseLimit, checked((int)(at + row)));
        }
        _rollIn.Run(_first, _settings.Rule, Philox.Key(_settings.Seed, RollInStream + round), stop);
        Rollout[] rollouts = new Rollout[count];
        for (int row = 0; row < count; row++) rollouts[row] = MakeRollout(row, at + row, 0, _first.Response(row));
        if (_settings.RollIn == RollIn.Policy) Continue(rollouts, at, stop);
        else if (_settings.Hidden)
            for (int row = 0; row < count; row++) _hidden.AddRange(_first.ResponseHidden(row));
        return rollouts;
    }

    /// <summary>Cuts each response and lets π_ref write the rest. Where everything was kept, the response stands as it is.</summary>
    private void Continue(Rollout[] rollouts, long at, CancellationToken stop)
    {
        uint round = (uint)_settings.Round;
        ulong cutKey = Philox.Key(_settings.Seed, CutStream + round);
        int[] kept = new int[rollouts.Length];
        _second.Clear();
        for (int row = 0; row < rollouts.Length; row++)
        {
            int length = _first.ResponseLengths[row];
            kept[row] = 1 + new PhiloxStream(cutKey, (ulong)(at + row) * 4).NextInt(length);
            if (kept[row] == length) continue;
            ReadOnlySpan<int> start = rollouts[row].Tokens.AsSpan(0, rollouts[row].PromptLength + kept[row]);
            _second.Add(start, _task.ResponseLimit - kept[row], checked((int)(at + row)));
        }
        _rollOut.Run(_second, GuidanceRule.Reference(_settings.Rule.Temperature, _settings.Rule.TopP), Philox.Key(_settings.Seed, RollOutStream + round), stop);
        for (int row = 0, continued = 0; row < rollouts.Length; row++)
        {
            ReadOnlySpan<int> response = _first.Response(row);
            bool isWhole = kept[row] == response.Length;
            ReadOnlySpan<int> rest = isWhole ? [] : _second.Response(continued);
            rollouts[row] = MakeRollout(row, at + row, kept[row], [.. response[..kept[row]], .. rest]);
            if (_settings.Hidden)
            {
                _hidden.AddRange(_first.ResponseHidden(row)[..(kept[row] * _first.HiddenWidth)]);
                if (!isWhole) _hidden.AddRange(_second.ResponseHidden(continued));
            }
            if (!isWhole) continued++;
        }
    }

    private Rollout MakeRollout(int row, long sample, int kept, ReadOnlySpan<int> response)
    {
        Problem problem = _problems[row];
        float lambda = _settings.Rule.IsGuided ? _settings.Rule.Lambda : 0;
        return new Rollout(
            sample / _settings.SamplesPerProblem, sample, _settings.Round, [.. problem.Prompt, .. response], problem.Prompt.Length, kept, lambda,
            _task.Reward(problem, response));
    }
}
