using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// Q♯ by temporal differences (method notes §4.7): what it learns of a token y is the mean of V̄(x′) over what an environment may
/// write after it, V̄(x′) = η ln Σ_y′ π_ref(y′|x′) exp(Q̄(x′, y′)/η) being the soft value of the text when the model is to write
/// again, and the reward at the end. Unlike the law of the return it does not take the environment's luck for the model's choice;
/// but it holds for one η. Q̄ is a copy of the guide, renewed after every <see cref="CopyEvery"/> steps.
/// </summary>
/// <remarks>V̄ is what guided decoding itself has as its normaliser: the same kernel, candidates and rule.</remarks>
public sealed class SoftBellmanLearner : ModelLearner
{
    /// <summary>Steps on one copy of the guide; a run is saved between such spans, so that resuming finds the same copy.</summary>
    public const int CopyEvery = 25;

    private const int LogitsAtOnce = 1 << 23;

    private readonly LanguageModel _reference;
    private readonly ValueModel _guide, _target;
    private readonly GuidanceRule _rule;
    private readonly FusedGuidance _guidance;
    private readonly DeviceBuffer _memory;
    private readonly Tensor _referenceHidden, _targetHidden, _logits, _candidates, _values, _zeros, _next, _chosen, _statistics;
    private readonly float[] _hostStatistics, _softValues;
    private readonly int _part;

    /// <param name="guide">Of the Q-type: one pass gives all tokens' values; not disposed with the learner.</param>
    /// <param name="rule">How the guide will decode: the tilt of a mean at λ = 1/η, and π_ref as it wrote the roll-outs.</param>
    /// <param name="candidates">K: tokens over which V̄ is summed, the likeliest of π_ref; the rule says what the others have.</param>
    /// <param name="vocabulary">Ids that may come, the first of π_ref's.</param>
    /// <param name="logitsAtOnce">Of π_ref: V̄ is found for as many losses at a time as have so many.</param>
    public SoftBellmanLearner(
        LanguageModel reference, ValueModel guide, Method method, GuidanceRule rule, int candidates, int vocabulary, IBatchSource source, OptimizerSettings settings,
        int rows, int logitsAtOnce = LogitsAtOnce)
        : base(guide, method, source, settings, rows)
    {
        (_reference, _guide, _rule) = (reference, guide, rule);
        _guidance = new FusedGuidance(Ops);
        int losses = Batch.LossCapacity, k = Math.Min(candidates, vocabulary);
        _part = Math.Clamp(logitsAtOnce / vocabulary, 1, losses);
        _hostStatistics = new float[_part * SampleStatistics.Count];
        _softValues = new float[losses];
        DType type = guide.ActivationType;
        try
        {
            if (guide.Settings.Kind != HeadKind.Q) throw new ArgumentException("Soft values take a Q-type guide.", nameof(guide));
            if (rule.Tilt != Tilt.Mean || !rule.IsGuided) throw new ArgumentException("Soft values take the tilt of a mean at a finite η.", nameof(rule));
            _target = new ValueModel(Ops, guide.Config, guide.Settings, guide.Weights.MatrixType);
            ((_referenceHidden, _targetHidden, _logits, _candidates, _values, _zeros, _next, _chosen, _statistics), _memory) = Arena.Build(Ops.Device, arena => (
                arena.Take((losses, guide.Config.Width), type), arena.Take((losses, guide.Config.Width), type),
                arena.Take((_part, vocabulary)), arena.Take((_part, k), DType.I32), arena.Take((_part, k, guide.Settings.Family.Atoms)),
                arena.Take(_part, DType.I32), arena.Take(_part, DType.I32), arena.Take(_part, DType.I32), arena.Take((_part, SampleStatistics.Count))));
            Ops.Fill(_zeros, 0);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public override int StepsPerSample => CopyEvery;

    public override long Fill(int step)
    {
        long tokens = base.Fill(step);
        if ((step - 1) % CopyEvery == 0) Initializer.CopyShared(Ops, _guide.Weights, _target.Weights);
        Upload();
        SoftValues();
        ReturnFamily family = _guide.Settings.Family;
        for (int row = 0; row < Batch.Rows; row++)
        {
            (int start, int count) = Batch.LossesOf(row);
            // The next loss reads the text before the model's next token: after this one, and after whatever the environment said to it.
            for (int m = start; m + 1 < start + count; m++) Batch.LossReturns[m] = Math.Clamp(_softValues[m + 1], family.Min, family.Max);
        }
        return tokens;
    }

    public override void Dispose()
    {
        _target?.Dispose();   // null where it was what failed
        _guidance.Dispose();
        _memory?.Dispose();
        base.Dispose();
    }

    /// <summary>V̄ of the text before each loss's token.</summary>
    private void SoftValues()
    {
        Read(_reference, _referenceHidden);
        Read(_target, _targetHidden);
        for (int from = 0; from < _softValues.Length; from += _part)
        {
            int count = Math.Min(_part, _softValues.Length - from);
            Tensor logits = _logits.Range(0, count), candidates = _candidates.Range(0, count), values = _values.Range(0, count), statistics = _statistics.Range(0, count);
            Tensor flat = candidates.As((int)candidates.Count), zeros = _zeros.Range(0, count);
            _reference.Head.Forward(_referenceHidden.Range(from, count), Tensor.None, logits);
            Ops.TopK(logits, candidates, Tensor.None);
            _target.Head.Forward(_targetHidden.Range(from, count), flat, values.As((flat.Shape.D0, values.Shape.Last)));
            GuidanceInputs inputs = new(logits, candidates, values, Tensor.None, zeros, zeros);
            _guidance.Sample(inputs, _rule, key: 0, new GuidanceOutputs(_next.Range(0, count), _chosen.Range(0, count), statistics));
            Ops.Device.Download<float>(statistics, _hostStatistics.AsSpan(0, count * SampleStatistics.Count));
            for (int i = 0; i < count; i++) _softValues[from + i] = _hostStatistics[i * SampleStatistics.Count + SampleStatistics.LogNormalizer] / _rule.Lambda;
        }
    }
}
