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
/// <param name="HiddenLayer">Layer of π_ref whose hidden states are wanted too, 1 the first; 0: the last one, after the final norm; null: none.</param>
/// <param name="Rule">The roll-in policy; <see cref="GuidanceRule.Reference"/> in round 1.</param>
public sealed record CollectSettings(int SamplesPerProblem, RollIn RollIn, GuidanceRule Rule, int Round, ulong Seed, int BatchRows, int Candidates, int? HiddenLayer = null)
{
    /// <summary>
    /// K: the last kept token is a uniformly random one of π_ref's K likeliest, as the theory has it (method notes §2.4, Alg. 2); 0: the
    /// roll-in policy's own.
    /// </summary>
    public int SwitchTopK { get; init; }

    /// <summary>Most tokens of a roll-out behind the cut; 0: what the roll-in has left of a response's.</summary>
    public int RollOutLimit { get; init; }

    /// <summary>Which part of the data set is collected.</summary>
    public Shard Shard { get; init; } = Shard.Whole;
}

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
    /// <summary>Each round has streams of its own, and they lie so far apart.</summary>
    public const int MostRounds = 15;

    private const uint RollInStream = 0x10, RollOutStream = 0x20, CutStream = 0x30, SwitchStream = 0x50;

    private readonly ITask _task;
    private readonly CollectSettings _settings;
    private readonly ulong _problemKey;
    private readonly FusedGuidance _guidance;
    private readonly Sampler _rollIn, _rollOut;
    private readonly Sampler? _switch;
    private readonly UniformGuidance? _uniform;
    private readonly SampleBatch _first, _second, _switched;
    private readonly Dictionary<long, Problem> _problems = [];   // of the samples that are under way

    /// <param name="problemKey">Key of the post-training split's problems.</param>
    public RolloutCollector(ITask task, LanguageModel reference, IGuide? guide, CollectSettings settings, ulong problemKey)
    {
        _task = task;
        _settings = settings;
        _problemKey = problemKey;
        int rows = settings.BatchRows, prompt = task.PromptLimit, response = task.ResponseLimit;
        _guidance = new FusedGuidance(reference.Ops);
        SamplerShape shape = new(rows, prompt, response, settings.Candidates, Vocabulary: task.Vocabulary, HiddenLayer: settings.HiddenLayer ?? 0);
        int limit = settings.RollOutLimit > 0 ? settings.RollOutLimit : response, longest = prompt + response + settings.RollOutLimit;
        try
        {
            _rollIn = new Sampler(reference, settings.Rule.IsGuided ? guide : null, _guidance, shape, task.Stops);
            _rollOut = settings.RollIn == RollIn.None
                ? _rollIn
                : new Sampler(reference, null, _guidance, shape with { PromptTokens = prompt + response, NewTokens = limit, RowTokens = longest }, task.Stops);
            if (settings.SwitchTopK > 0 && settings.RollIn != RollIn.None)
            {
                _uniform = new UniformGuidance(reference.Ops, settings.SwitchTopK);
                _switch = new Sampler(reference, null, _uniform, shape with { PromptTokens = prompt + response, NewTokens = 1, RowTokens = prompt + response }, []);
            }
        }
        catch
        {
            Dispose();
            throw;
        }
        int width = settings.HiddenLayer is not null ? reference.Config.Width : 0;
        _first = new SampleBatch(rows, prompt, response, width);
        _second = new SampleBatch(rows, prompt + response, limit, width);
        _switched = new SampleBatch(rows, prompt + response, 1, width);
    }

    /// <summary>Collects samples <paramref name="from"/> … <paramref name="to"/> − 1 of the shard.</summary>
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
        foreach (Sample each in _settings.RollIn == RollIn.None ? rollIns : RollOuts(_switch is null ? Cut(rollIns) : Switched(Cut(rollIns), stop), Take, stop)) Take(each);
        progress.Finish(FormattableString.Invariant($"mean reward {rewards / Math.Max(to - from, 1):0.000}, {tokens / Math.Max(clock.Elapsed.TotalSeconds, 1e-6):0} tokens/s"));

        void Take(Sample each)
        {
            tokens += each.Response.Length;
            finished.Add(each.Ordinal, each);
            ready.Clear();
            hidden.Clear();
            while (finished.TryTake(out Sample? next))
            {
                ready.Add(Rollout(next!));
                rewards += ready[^1].Reward;
                hidden.AddRange(next!.Hidden);
            }
            if (ready.Count == 0) return;
            count += ready.Count;
            done(CollectionsMarshal.AsSpan(ready), CollectionsMarshal.AsSpan(hidden));
            progress.Report(from + count, [("reward", rewards / count), ("tokens/s", tokens / Math.Max(clock.Elapsed.TotalSeconds, 1e-6))]);
        }
    }

    public void Dispose()
    {
        _rollIn?.Dispose();   // null where it was what failed
        if (!ReferenceEquals(_rollIn, _rollOut)) _rollOut?.Dispose();
        _switch?.Dispose();
        _uniform?.Dispose();
        _guidance.Dispose();
    }

    /// <summary>Whole responses of the roll-in policy, in the order in which they end.</summary>
    private IEnumerable<Sample> RollIns(long from, long to, CancellationToken stop)
    {
        foreach (int row in _rollIn.Run(Requests(), _first, _settings.Rule, Philox.Key(_settings.Seed, RollInStream + (uint)_settings.Round), stop))
            yield return new Sample(_first.Numbers[row], 0, false, _first.Response(row).ToArray(), Hidden(_first, row));

        IEnumerable<SampleRequest> Requests()
        {
            Problem problem = new([], []);
            for (long ordinal = from; ordinal < to; ordinal++)
            {
                long number = Number(ordinal);
                if (ordinal == from || number % _settings.SamplesPerProblem == 0)
                    problem = _task.Problem(Split.PostTrain, _problemKey, number / _settings.SamplesPerProblem);
                _problems.Add(ordinal, problem);
                yield return new SampleRequest(problem.Prompt, _task.ResponseLimit, checked((int)number), ordinal);
            }
        }
    }

    /// <summary>Keeps a uniform share of each response, at least one token.</summary>
    private IEnumerable<Sample> Cut(IEnumerable<Sample> rollIns)
    {
        ulong key = Philox.Key(_settings.Seed, CutStream + (uint)_settings.Round);
        foreach (Sample each in rollIns)
        {
            int kept = 1 + new PhiloxStream(key, (ulong)Number(each.Ordinal) * 4).NextInt(each.Response.Length);
            yield return each with
            {
                Kept = kept,
                IsEnded = kept == each.Response.Length,
                Response = each.Response[..kept],
                Hidden = each.Hidden[..(kept * _first.HiddenWidth)],
            };
        }
    }

    /// <summary>Puts a uniformly random one of π_ref's likeliest tokens in place of the last kept one.</summary>
    private IEnumerable<Sample> Switched(IEnumerable<Sample> cut, CancellationToken stop)
    {
        Dictionary<long, Sample> open = [];
        foreach (int row in _switch!.Run(Requests(), _switched, GuidanceRule.Reference(), Philox.Key(_settings.Seed, SwitchStream + (uint)_settings.Round), stop))
        {
            open.Remove(_switched.Numbers[row], out Sample? each);
            int token = _switched.Response(row)[0];
            yield return each! with { Response = [.. each.Response[..^1], token], IsEnded = _task.Stops.Contains(token) || (_settings.RollOutLimit == 0 && each.Kept == _task.ResponseLimit) };
        }

        IEnumerable<SampleRequest> Requests()
        {
            foreach (Sample each in cut)
            {
                open.Add(each.Ordinal, each);
                yield return new SampleRequest([.. _problems[each.Ordinal].Prompt, .. each.Response[..^1]], 1, checked((int)Number(each.Ordinal)), each.Ordinal);
            }
        }
    }

    /// <summary>Lets π_ref write the rest.</summary>
    /// <param name="whole">Takes each response that ended where it was cut, at once: there may be nothing but such ones, and so no row that ends.</param>
    private IEnumerable<Sample> RollOuts(IEnumerable<Sample> cut, Action<Sample> whole, CancellationToken stop)
    {
        Dictionary<long, Sample> open = [];
        GuidanceRule reference = GuidanceRule.Reference(_settings.Rule.Temperature, _settings.Rule.TopP);
        foreach (int row in _rollOut.Run(Requests(), _second, reference, Philox.Key(_settings.Seed, RollOutStream + (uint)_settings.Round), stop))
        {
            open.Remove(_second.Numbers[row], out Sample? start);
            yield return start! with { Response = [.. start.Response, .. _second.Response(row)], Hidden = [.. start.Hidden, .. Hidden(_second, row)] };
        }

        IEnumerable<SampleRequest> Requests()
        {
            foreach (Sample each in cut)
            {
                if (each.IsEnded)
                {
                    whole(each);
                    continue;
                }
                open.Add(each.Ordinal, each);
                int limit = _settings.RollOutLimit > 0 ? _settings.RollOutLimit : _task.ResponseLimit - each.Kept;
                yield return new SampleRequest([.. _problems[each.Ordinal].Prompt, .. each.Response], limit, checked((int)Number(each.Ordinal)), each.Ordinal);
            }
        }
    }

    private long Number(long ordinal) => _settings.Shard.Sample(ordinal, _settings.SamplesPerProblem);

    private Half[] Hidden(SampleBatch batch, int row) => _settings.HiddenLayer is not null ? batch.ResponseHidden(row).ToArray() : [];

    private Rollout Rollout(Sample sample)
    {
        _problems.Remove(sample.Ordinal, out Problem? problem);
        long number = Number(sample.Ordinal);
        float lambda = _settings.Rule.IsGuided ? _settings.Rule.Lambda : 0;
        return new Rollout(
            number / _settings.SamplesPerProblem % _task.TrainingProblems, number, _settings.Round, [.. problem!.Prompt, .. sample.Response], problem.Prompt.Length,
            sample.Kept, lambda, _task.Reward(problem, sample.Response));
    }

    /// <param name="Ordinal">Its place in the shard.</param>
    /// <param name="Kept">Response tokens from the roll-in; 0 where there is none.</param>
    /// <param name="IsEnded">Whether a kept response is whole, so that nothing follows.</param>
    /// <param name="Hidden">[tokens of the response, C], or empty.</param>
    private sealed record Sample(long Ordinal, int Kept, bool IsEnded, int[] Response, Half[] Hidden);
}
