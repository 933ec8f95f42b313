using System.Diagnostics;

using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// One step of a batch on the device. It takes the tokens drawn last into the caches and draws the next ones: π_ref's logits → top K →
/// the value model on K siblings → head → guidance draws → the drawn sibling's column stays in the value model's cache. A Q-type guide may
/// score every token instead of K; from a V-type one all tokens are drawn by rejection. Memory is planned once; a step allocates
/// nothing, and is recorded (one CUDA graph) and replayed.
/// </summary>
internal sealed class SampleStep : IDisposable
{
    private readonly LanguageModel _reference;
    private readonly Guidance _guidance;
    private readonly Ops _ops;
    private readonly CachedModel _referenceCache;
    private readonly GuideState? _guideState;
    private readonly RejectionSampling? _rejection;
    private readonly PrefixTilts? _prefix;   // where candidates or all tokens are scored
    private readonly bool _scoresAll;
    private readonly DeviceBuffer _memory;
    private readonly Tensor _candidates, _valueLogits;
    private RecordedStep? _step, _outsideStep;
    private (GuidanceRule? Rule, ulong Key) _recorded;
    private bool _hasOutside;

    public SampleStep(LanguageModel reference, IGuide? guide, Guidance guidance, SamplerShape shape)
    {
        _reference = reference;
        _guidance = guidance;
        _ops = reference.Ops;
        shape.Require(reference, guide);
        int rows = shape.Rows, vocabulary = shape.VocabularyOf(reference), atoms = guide?.Settings.Family.Atoms ?? 1;
        bool isExact = guide is not null && shape.Candidates == GuideRecipe.AllCandidates, rejects = isExact && guide!.Settings.Kind == HeadKind.V;
        _scoresAll = isExact && !rejects;
        int k = guide is null || _scoresAll ? 1 : rejects ? RejectionSampling.Proposals : Math.Min(shape.Candidates, vocabulary);
        try
        {
            _referenceCache = new CachedModel(reference, rows, shape.PromptSlots, shape.PromptTokens, shape.NewTokens, step: 1, Math.Max(shape.HiddenLayer, guide?.ReferenceLayer ?? 0));
            _guideState = guide?.Open(_referenceCache, shape with { Vocabulary = vocabulary }, _scoresAll ? GuideRecipe.AllCandidates : k);
            if (rejects) _rejection = new RejectionSampling((ValueModel)guide!, ((OwnTrunkState)_guideState!).Cache, rows);
            else if (guide is not null) _prefix = new PrefixTilts(_ops, guide.Settings, rows);
            ((Logits, _candidates, _valueLogits, Weights, Inputs, Drawn), _memory) = Arena.Build(_ops.Device, arena => (
                arena.Take((rows, vocabulary)), arena.Take((rows, k), DType.I32), arena.Take((rows, k, atoms)),
                arena.Take((rows, guide?.Settings.Family.Returns ?? 1)), new RowInputs(rows, arena), new DrawnRows(rows, arena)));
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>What the host says of the rows, before each step.</summary>
    public RowInputs Inputs { get; }

    /// <summary>What a step has drawn.</summary>
    public DrawnRows Drawn { get; }

    /// <summary>[R, V]: π_ref's, from which the tokens were drawn.</summary>
    public Tensor Logits { get; }

    /// <summary>[R, C]: π_ref's hidden states of the layer that was asked for, when the tokens were drawn.</summary>
    public Tensor LayerStates => _referenceCache.LayerStates;

    /// <summary>[R, returns]: log-weights of a weighted tilt.</summary>
    public Tensor Weights { get; }

    /// <summary>Seconds spent on reading prompts.</summary>
    public double PromptSeconds { get; private set; }

    /// <summary>Makes the step of a rule and key, which are plain numbers in its kernels' arguments.</summary>
    public void Record(GuidanceRule rule, ulong key)
    {
        if (rule.IsGuided && _guideState is null) throw new ArgumentException("A tilt needs a guide.");
        if (rule.IsGuided && _rejection is not null && !RejectionSampling.Draws(rule)) throw new ArgumentException($"No draws by rejection from {rule}.");
        if (_recorded == (rule, key)) return;
        _step?.Dispose();
        _outsideStep?.Dispose();
        _step = _ops.Device.Record(() => Step(rule, key, hasOutside: false));
        _outsideStep = _ops.Device.Record(() => Step(rule, key, hasOutside: true));
        _recorded = (rule, key);
    }

    /// <summary>Takes the host's inputs to the device: the first part of every step.</summary>
    public void Begin(GuidanceRule rule)
    {
        _hasOutside = rule.IsGuided && !_scoresAll && _prefix is not null && _prefix.Forget(Inputs, Drawn);
        Inputs.Upload();
    }

    /// <summary>Reads the prompts of rows that start: the second part of a step with such rows.</summary>
    /// <param name="slots">Which prompts lie where.</param>
    /// <param name="lengths">[R]: the columns that each row has behind its prompt.</param>
    /// <param name="weights">[R, returns]: log-weights of a weighted tilt.</param>
    public void Start(PromptSlots slots, ReadOnlySpan<int> lengths, GuidanceRule rule, float[] weights)
    {
        long start = Stopwatch.GetTimestamp();
        _referenceCache.Start(slots, lengths, CacheLayout.Sequence, Inputs.Source);
        if (rule.IsGuided) _guideState!.Start(slots, lengths, Inputs.Source);
        _ops.Device.Synchronize();
        PromptSeconds += Stopwatch.GetElapsedTime(start).TotalSeconds;
        if (rule.Tilt == Tilt.Weighted) UploadWeights(weights);
        if (rule.IsGuided) _prefix?.Start(_guideState!, rule, WeightsOf(rule), Inputs, Drawn);
    }

    /// <summary>Draws the next token of every active row: the last part of every step.</summary>
    /// <param name="active">[R]: 1 for each row that draws.</param>
    /// <param name="weights">As of <see cref="Start"/>.</param>
    /// <param name="isFirst">Whether no row has drawn a token yet.</param>
    /// <param name="stop">Looked at between proposals, of which a token that is drawn by rejection may take many.</param>
    public void Draw(GuidanceRule rule, ulong key, ReadOnlySpan<int> active, float[] weights, bool isFirst, CancellationToken stop)
    {
        if (_rejection is not null && rule.IsGuided) DrawByRejection(rule, key, active, weights, isFirst, stop);
        else if (isFirst)
        {
            if (rule.IsGuided) _prefix!.Take(Drawn);
            DrawNext(rule, key);
        }
        else (_hasOutside ? _outsideStep! : _step!).Run();
    }

    public void Dispose()
    {
        _step?.Dispose();
        _outsideStep?.Dispose();
        _rejection?.Dispose();
        _prefix?.Dispose();
        _referenceCache?.Dispose();   // null after a constructor that failed
        _guideState?.Dispose();
        _memory?.Dispose();
    }

    /// <summary>Takes the tokens drawn into the caches and draws the next ones.</summary>
    /// <param name="hasOutside">Whether any row drew a token that is none of the candidates.</param>
    private void Step(GuidanceRule rule, ulong key, bool hasOutside)
    {
        Append();
        if (rule.IsGuided)
        {
            _prefix!.Take(Drawn);
            _guideState!.Take(new DrawnTokens(Drawn.Next, Drawn.Chosen, Inputs.Running, hasOutside ? Inputs.Outside : Tensor.None, Inputs.Source));
        }
        DrawNext(rule, key);
    }

    private void Append()
    {
        _referenceCache.Append(Drawn.Next, Inputs.Running);
        _referenceCache.Select(Inputs.Source);
    }

    private void DrawNext(GuidanceRule rule, ulong key)
    {
        _reference.Head.Forward(_referenceCache.Hidden, Tensor.None, Logits);
        GuidanceInputs inputs = new(Logits, Tensor.None, Tensor.None, Tensor.None, Inputs.Streams, Inputs.Positions, WeightsOf(rule));
        if (rule.IsGuided && _scoresAll)
        {
            TokenLogits all = _guideState!.ScoreAll();
            inputs = inputs with { ValueLogits = all.Logits, ValueBias = all.Bias, PrefixTilt = _prefix!.Rows };
        }
        else if (rule.IsGuided)
        {
            _ops.TopK(Logits, _candidates, Tensor.None);
            _guideState!.ScoreNext(_candidates, _valueLogits);
            inputs = inputs with { Candidates = _candidates, ValueLogits = _valueLogits, PrefixTilt = _prefix!.Rows };
        }
        _guidance.Sample(inputs, rule, key, new GuidanceOutputs(Drawn.Next, Drawn.Chosen, Drawn.Statistics));
    }

    private void DrawByRejection(GuidanceRule rule, ulong key, ReadOnlySpan<int> active, float[] weights, bool isFirst, CancellationToken stop)
    {
        if (!isFirst)
        {
            Append();
            _rejection!.Take(Inputs.Running);
        }
        _reference.Head.Forward(_referenceCache.Hidden, Tensor.None, Logits);
        RejectionStep step = new(Logits, WeightsOf(rule), Inputs.Streams, Inputs.Positions, new GuidanceOutputs(Drawn.Next, Drawn.Chosen, Drawn.Statistics));
        _rejection!.Draw(step, rule, key, Inputs.HostPositions, Inputs.HostStreams, active, weights, stop);
    }

    private void UploadWeights(float[] weights)
    {
        if (weights.Length != Weights.Count)
            throw new ArgumentException($"A weighted tilt needs {Weights.Count} log-weights for the batch, not {weights.Length}.");
        _ops.Device.Upload<float>(weights, Weights);
    }

    private Tensor WeightsOf(GuidanceRule rule) => rule.Tilt == Tilt.Weighted ? Weights : Tensor.None;
}
