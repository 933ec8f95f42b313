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

/// <summary>Takes some roll-outs, in the order of their numbers.</summary>
/// <param name="hidden">[tokens of all responses, C]: π_ref's hidden states where they are wanted, else empty; gone with the next ones.</param>
public delegate void CollectedRollouts(ReadOnlySpan<Rollout> rollouts, ReadOnlySpan<Half> hidden);

/// <summary>
/// Collects roll-outs. Sample i is a function of (seed, round, i) alone: its problem, its noise and its cut; so batching,
/// interruption and the number of threads do not change the data. Roll-ins flow into roll-outs as they end: both samplers keep
/// their batches full, and a sample is handed on as soon as all before it are.
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
    private readonly Dictionary<long, Problem> _problems = [];   // of the samples that are under way

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
    }

    /// <summary>Collects samples <paramref name="from"/> … <paramref name="to"/> − 1.</summary>
    public void Run(long from, long to, CollectedRollouts done, IProgressSink progress, CancellationToken stop)
    {
        progress.Start($"collect (round {_settings.Round})", to);
        Stopwatch clock = Stopwatch.StartNew();
        long tokens = 0, count = 0;
        double rewards = 0;
        InOrder<Sample> finished = new(from);
        List<Rollout> ready = [];
        List<Half> hidden = [];
        _problems.Clear();
        IEnumerable<Sample> rollIns = RollIns(from, to, stop);
        foreach (Sample each in _settings.RollIn == RollIn.Policy ? RollOuts(rollIns, stop) : rollIns)
        {
            tokens += each.Response.Length;
            finished.Add(each.Number, each);
            ready.Clear();
            hidden.Clear();
            while (finished.TryTake(out Sample? next))
            {
                ready.Add(Rollout(next!));
                rewards += ready[^1].Reward;
                hidden.AddRange(next!.Hidden);
            }
            if (ready.Count == 0) continue;
            count += ready.Count;
            done(CollectionsMarshal.AsSpan(ready), CollectionsMarshal.AsSpan(hidden));
            progress.Report(from + count, [("reward", rewards / count), ("tokens/s", tokens / Math.Max(clock.Elapsed.TotalSeconds, 1e-6))]);
        }
        progress.Finish(FormattableString.Invariant($"mean reward {rewards / Math.Max(to - from, 1):0.000}, {tokens / Math.Max(clock.Elapsed.TotalSeconds, 1e-6):0} tokens/s"));
    }

    public void Dispose()
    {
        _rollIn.Dispose();
        if (!ReferenceEquals(_rollIn, _rollOut)) _rollOut.Dispose();
    }

    /// <summary>Whole responses of the roll-in policy, in the order in which they end.</summary>
    private IEnumerable<Sample> RollIns(long from, long to, CancellationToken stop)
    {
        foreach (int row in _rollIn.Run(Requests(), _first, _settings.Rule, Philox.Key(_settings.Seed, RollInStream + (uint)_settings.Round), stop))
            yield return new Sample(_first.Numbers[row], 0, _first.Response(row).ToArray(), Hidden(_first, row));

        IEnumerable<SampleRequest> Requests()
        {
            Problem problem = new([], []);
            for (long sample = from; sample < to; sample++)
            {
                if (sample == from || sample % _settings.SamplesPerProblem == 0)
                    problem = _task.Problem(Split.PostTrain, _problemKey, sample / _settings.SamplesPerProblem);
                _problems.Add(sample, problem);
                yield return new SampleRequest(problem.Prompt, _task.ResponseLimit, checked((int)sample), sample);
            }
        }
    }

    /// <summary>Cuts each response and lets π_ref write the rest. Where everything was kept, the response stands as it is.</summary>
    private IEnumerable<Sample> RollOuts(IEnumerable<Sample> rollIns, CancellationToken stop)
    {
        ulong cutKey = Philox.Key(_settings.Seed, CutStream + (uint)_settings.Round);
        Dictionary<long, Sample> cut = [];
        Queue<Sample> whole = [];
        GuidanceRule reference = GuidanceRule.Reference(_settings.Rule.Temperature, _settings.Rule.TopP);
        foreach (int row in _rollOut.Run(Requests(), _second, reference, Philox.Key(_settings.Seed, RollOutStream + (uint)_settings.Round), stop))
        {
            cut.Remove(_second.Numbers[row], out Sample? start);
            yield return start! with { Response = [.. start!.Response, .. _second.Response(row)], Hidden = [.. start.Hidden, .. Hidden(_second, row)] };
            while (whole.TryDequeue(out Sample? each)) yield return each;
        }
        while (whole.TryDequeue(out Sample? each)) yield return each;

        IEnumerable<SampleRequest> Requests()
        {
            foreach (Sample each in rollIns)
            {
                int kept = 1 + new PhiloxStream(cutKey, (ulong)each.Number * 4).NextInt(each.Response.Length);
                Sample start = each with { Kept = kept, Response = each.Response[..kept], Hidden = each.Hidden[..(kept * _first.HiddenWidth)] };
                if (kept == each.Response.Length)
                {
                    whole.Enqueue(start);
                    continue;
                }
                cut.Add(each.Number, start);
                yield return new SampleRequest([.. _problems[each.Number].Prompt, .. start.Response], _task.ResponseLimit - kept, checked((int)each.Number), each.Number);
            }
        }
    }

    private Half[] Hidden(SampleBatch batch, int row) => _settings.Hidden ? batch.ResponseHidden(row).ToArray() : [];

    private Rollout Rollout(Sample sample)
    {
        _problems.Remove(sample.Number, out Problem? problem);
        float lambda = _settings.Rule.IsGuided ? _settings.Rule.Lambda : 0;
        return new Rollout(
            sample.Number / _settings.SamplesPerProblem, sample.Number, _settings.Round, [.. problem!.Prompt, .. sample.Response], problem.Prompt.Length,
            sample.Kept, lambda, _task.Reward(problem, sample.Response));
    }

    /// <param name="Kept">Response tokens from the roll-in; 0 where there is none.</param>
    /// <param name="Hidden">[tokens of the response, C], or empty.</param>
    private sealed record Sample(long Number, int Kept, int[] Response, Half[] Hidden);
}
