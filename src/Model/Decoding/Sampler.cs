using System.Runtime.InteropServices;

using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>The most that a sampler can hold.</summary>
/// <param name="PromptTokens">Tokens of a prompt.</param>
/// <param name="NewTokens">Tokens of a response.</param>
/// <param name="Candidates">K: tokens that the guide scores at each step, or <see cref="GuideRecipe.AllCandidates"/>; not read without a guide.</param>
/// <param name="RowTokens">Tokens of a prompt and its response together, where that is less than the sum of both; else 0.</param>
/// <param name="Vocabulary">Ids that may be drawn, the first ones of the reference's: those beyond the tokenizer never are. 0: all.</param>
public sealed record SamplerShape(int Rows, int PromptTokens, int NewTokens, int Candidates = 1, int RowTokens = 0, int Vocabulary = 0)
{
    internal int Longest => RowTokens > 0 ? RowTokens : PromptTokens + NewTokens;
}

/// <summary>
/// Draws responses from π_ref alone or guided by a value model, a batch of rows at a time. One guided step: π_ref's
/// logits → top K → the value model on K siblings → head → guidance draws → the drawn sibling's column stays in the
/// value model's cache. A Q-type guide may score every token instead of K. Memory is planned once; a step allocates nothing. From the second token on a step is recorded (one
/// CUDA graph) and replayed; between two steps the host looks at the tokens drawn, to see which rows have ended.
/// </summary>
public sealed class Sampler : IDisposable
{
    private readonly LanguageModel _reference;
    private readonly IGuide? _guide;
    private readonly Guidance _guidance;
    private readonly Ops _ops;
    private readonly CachedModel _referenceCache;
    private readonly GuideState? _guideState;
    private readonly RejectionSampling? _rejection;
    private readonly bool _scoresAll;   // by a Q-type guide; a V-type one goes by rejection
    private readonly DeviceBuffer _memory;
    private readonly Tensor _logits, _candidates, _valueLogits, _prefixTilt, _streams, _positions, _drawn, _tiltRows, _outside, _running;
    private readonly Tensor _next, _chosen, _statistics;     // parts of _drawn, which one copy takes to the host
    private readonly int[] _hostDrawn, _hostOutside, _hostRunning;
    private readonly HashSet<int> _stops;
    private RecordedStep? _step, _outsideStep;
    private DeviceBuffer? _originMemory;
    private Tensor _originLogits, _originLogProbs, _originSums;
    private float[] _hostOrigin = [], _hostHidden = [];
    private (GuidanceRule? Rule, ulong Key) _recorded;

    /// <param name="stops">Tokens that end a response.</param>
    public Sampler(LanguageModel reference, IGuide? guide, Guidance guidance, SamplerShape shape, IEnumerable<int> stops)
    {
        _reference = reference;
        _guide = guide;
        _guidance = guidance;
        _ops = reference.Ops;
        _stops = [.. stops];
        (int rows, int promptTokens, int newTokens) = (shape.Rows, shape.PromptTokens, shape.NewTokens);
        int vocabulary = shape.Vocabulary > 0 ? shape.Vocabulary : reference.Config.Vocab;
        if (guide is not null && guide.Vocabulary < vocabulary)
            throw new UserException($"The guide knows {guide.Vocabulary} tokens, but the reference uses {vocabulary}; give a guide with the reference's tokenizer.");
        bool isExact = guide is not null && shape.Candidates == GuideRecipe.AllCandidates, rejects = isExact && guide!.Settings.Kind == HeadKind.V;
        _scoresAll = isExact && !rejects;
        int k = guide is null || _scoresAll ? 1 : rejects ? RejectionSampling.Proposals : Math.Min(shape.Candidates, vocabulary);
        int atoms = guide?.Settings.Family.Atoms ?? 1;
        Require(shape.Longest, reference.Config.Position == Position.Learned ? reference.Config.Context : int.MaxValue, "the reference");
        if (guide is not null) Require(shape.Longest, guide.LongestText, "the guide");
        _hostDrawn = new int[rows * (2 + SampleStatistics.Count)];
        _hostOutside = new int[rows];
        _hostRunning = new int[rows];
        int[] tiltRows = [.. Enumerable.Range(0, rows).Select(row => row * SampleStatistics.Count + SampleStatistics.ChosenTilt)];
        try
        {
            _referenceCache = new CachedModel(reference, rows, promptTokens, newTokens, step: 1);
            _guideState = guide?.Open(_referenceCache, shape with { Vocabulary = vocabulary }, _scoresAll ? GuideRecipe.AllCandidates : k);
            if (rejects) _rejection = new RejectionSampling((ValueModel)guide!, ((OwnTrunkState)_guideState!).Cache, rows);
            ((_logits, _candidates, _valueLogits, _prefixTilt, _streams, _positions, _drawn, _tiltRows, _outside, _running), _memory) = Arena.Build(
                _ops.Device, arena => (
                    arena.Take((rows, vocabulary)), arena.Take((rows, k), DType.I32), arena.Take((rows, k, atoms)), arena.Take(rows),
                    arena.Take(rows, DType.I32), arena.Take(rows, DType.I32), arena.Take(_hostDrawn.Length, DType.I32),
                    arena.Take(rows, DType.I32), arena.Take(rows, DType.I32), arena.Take(rows, DType.I32)));
            _next = _drawn.Range(0, rows);
            _chosen = _drawn.Range(rows, rows);
            _statistics = _drawn.Range(2 * rows, rows * SampleStatistics.Count) with { DType = DType.F32, Shape = (rows, SampleStatistics.Count) };
            _ops.Device.Upload<int>(tiltRows, _tiltRows);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Another temperature of π_ref in whose terms log-probabilities are wanted too (<see cref="SampleBatch.OriginLogProbs"/>); 0: none.</summary>
    public float OriginTemperature { get; init; }

    /// <summary>Samples a response for every row of the batch.</summary>
    /// <param name="key">Of the noise; with the rows' streams and the positions it fixes every draw.</param>
    /// <param name="goesOn">Sees every row and token as it is drawn, and says whether the response goes on; null: always.</param>
    public void Run(SampleBatch batch, GuidanceRule rule, ulong key, CancellationToken stop = default, Func<int, int, bool>? goesOn = null)
    {
        bool guided = rule.IsGuided;
        if (guided && _guide is null) throw new ArgumentException("A tilt needs a guide.");
        if (guided && _rejection is not null && !RejectionSampling.Draws(rule)) throw new ArgumentException($"No draws by rejection from {rule}.");
        if (batch.Count == 0) return;
        _ops.Device.Upload<int>(batch.Streams, _streams);
        _referenceCache.Prefill(batch, CacheLayout.Sequence);
        _reference.Head.Forward(_referenceCache.LastHidden, Tensor.None, _logits);
        if (guided)
        {
            _guideState!.Prefill(batch);
            _ops.Fill(_prefixTilt, float.NaN);
        }
        _ops.Fill(_positions, 0);
        RecordStep(rule, key);
        Array.Clear(batch.ResponseLengths);
        Array.Clear(_hostRunning);
        _hostRunning.AsSpan(0, batch.Count).Fill(1);
        int longest = 0;
        for (int row = 0; row < batch.Count; row++) longest = Math.Max(longest, batch.Limits[row]);
        for (int position = 0; position < longest; position++)
        {
            stop.ThrowIfCancellationRequested();
            if (_rejection is not null && guided) DrawByRejection(batch, rule, key, position);
            else if (position == 0) Draw(rule, key, isAfterPrompt: true);
            else (guided && !_scoresAll && MarkOutside() ? _outsideStep! : _step!).Run();
            if (!Take(batch, position, goesOn)) return;
            _ops.Device.Upload<int>(_hostRunning, _running);
        }
    }

    public void Dispose()
    {
        _step?.Dispose();
        _outsideStep?.Dispose();
        _rejection?.Dispose();
        _referenceCache?.Dispose();   // null after a constructor that failed
        _guideState?.Dispose();
        _memory?.Dispose();
        _originMemory?.Dispose();
    }

    /// <summary>A step is recorded for one rule and key, which are plain numbers in its kernels' arguments.</summary>
    private void RecordStep(GuidanceRule rule, ulong key)
    {
        if (_recorded == (rule, key)) return;
        _step?.Dispose();
        _outsideStep?.Dispose();
        _step = _ops.Device.Record(() => Step(rule, key, hasOutside: false));
        _outsideStep = _ops.Device.Record(() => Step(rule, key, hasOutside: true));
        _recorded = (rule, key);
    }

    /// <summary>Takes the tokens drawn into the caches and draws the next ones.</summary>
    /// <param name="hasOutside">Whether any row drew a token that is none of the candidates.</param>
    private void Step(GuidanceRule rule, ulong key, bool hasOutside)
    {
        Append();
        if (rule.IsGuided) KeepChosen(hasOutside);
        Draw(rule, key, isAfterPrompt: false);
    }

    private void Append()
    {
        _referenceCache.Append(_next, _running);
        _reference.Head.Forward(_referenceCache.Single.Hidden, Tensor.None, _logits);
        _ops.Advance(_positions, Tensor.None, 1);
    }

    private void Draw(GuidanceRule rule, ulong key, bool isAfterPrompt)
    {
        GuidanceInputs inputs = new(_logits, Tensor.None, Tensor.None, Tensor.None, _streams, _positions);
        if (rule.IsGuided && _scoresAll)
        {
            TokenLogits all = _guideState!.ScoreAll(isAfterPrompt);
            inputs = inputs with { ValueLogits = all.Logits, ValueBias = all.Bias, PrefixTilt = _prefixTilt };
        }
        else if (rule.IsGuided)
        {
            _ops.TopK(_logits, _candidates, Tensor.None);
            _guideState!.ScoreNext(_candidates, isAfterPrompt, _valueLogits);
            inputs = inputs with { Candidates = _candidates, ValueLogits = _valueLogits, PrefixTilt = _prefixTilt };
        }
        _guidance.Sample(inputs, rule, key, new GuidanceOutputs(_next, _chosen, _statistics));
    }

    private void DrawByRejection(SampleBatch batch, GuidanceRule rule, ulong key, int position)
    {
        if (position > 0)
        {
            Append();
            _rejection!.Take(_running);
        }
        RejectionStep step = new(_logits, _streams, _positions, new GuidanceOutputs(_next, _chosen, _statistics));
        _rejection!.Draw(step, rule, key, position, batch.Streams, _hostRunning);
    }

    private Span<int> HostNext => _hostDrawn.AsSpan(0, _hostRunning.Length);

    private Span<int> HostChosen => _hostDrawn.AsSpan(_hostRunning.Length, _hostRunning.Length);

    private Span<float> HostStatistics => MemoryMarshal.Cast<int, float>(_hostDrawn.AsSpan(2 * _hostRunning.Length));

    /// <summary>Tells the device which rows drew a token from outside of the candidates; false if none did.</summary>
    private bool MarkOutside()
    {
        int columns = SampleStatistics.Count, outside = 0;
        Span<int> chosen = HostChosen;
        Span<float> statistics = HostStatistics;
        for (int row = 0; row < chosen.Length; row++)
        {
            outside += _hostOutside[row] = chosen[row] < 0 ? 1 : 0;
            // The tilt of a token from outside of the candidates is a rule's, not the guide's: no ln W of the next prefix.
            if (_hostOutside[row] > 0) statistics[row * columns + SampleStatistics.ChosenTilt] = float.NaN;
        }
        if (outside == 0) return false;
        _ops.Device.Upload<float>(statistics, _statistics);
        _ops.Device.Upload<int>(_hostOutside, _outside);
        return true;
    }

    private void KeepChosen(bool hasOutside)
    {
        _ops.Gather(_statistics.As(((int)_statistics.Count, 1)), _tiltRows, _prefixTilt.As((_prefixTilt.Shape.D0, 1)));
        _guideState!.Take(new DrawnTokens(_next, _chosen, _running, hasOutside ? _outside : Tensor.None));
    }

    /// <summary>Takes what was drawn to the host; false when all rows have ended.</summary>
    private bool Take(SampleBatch batch, int position, Func<int, int, bool>? goesOn)
    {
        _ops.Device.Download<int>(_drawn, _hostDrawn);
        if (batch.Hidden is not null) TakeHidden(batch, position);
        if (OriginTemperature > 0) TakeOriginLogProbs(batch, position);
        Span<int> next = HostNext;
        Span<float> statistics = HostStatistics;
        bool running = false;
        for (int row = 0; row < batch.Count; row++)
        {
            if (_hostRunning[row] == 0) continue;
            int at = row * batch.NewTokens + position, token = next[row];
            batch.Responses[at] = token;
            statistics.Slice(row * SampleStatistics.Count, SampleStatistics.Count).CopyTo(batch.Statistics.AsSpan(at * SampleStatistics.Count));
            batch.ResponseLengths[row]++;
            bool isWanted = goesOn is null || goesOn(row, token);
            batch.Finishes[row] = _stops.Contains(token) ? Finish.End : isWanted ? Finish.Length : Finish.Stop;
            _hostRunning[row] = batch.Finishes[row] == Finish.Length && position + 1 < batch.Limits[row] ? 1 : 0;
            running |= _hostRunning[row] != 0;
        }
        return running;
    }

    /// <summary>The hidden states that the tokens were drawn from.</summary>
    private void TakeHidden(SampleBatch batch, int position)
    {
        Tensor hidden = position == 0 ? _referenceCache.LastHidden : _referenceCache.Single.Hidden;
        int width = hidden.Shape.Last;
        if (_hostHidden.Length == 0) _hostHidden = new float[hidden.Count];
        TensorValues.Read(hidden, _hostHidden);
        for (int row = 0; row < batch.Count; row++)
        {
            if (_hostRunning[row] == 0) continue;
            Span<Half> to = batch.Hidden.AsSpan((row * batch.NewTokens + position) * width, width);
            for (int c = 0; c < width; c++) to[c] = (Half)_hostHidden[row * width + c];
        }
    }

    private void TakeOriginLogProbs(SampleBatch batch, int position)
    {
        if (_originMemory is null)
        {
            int rows = _logits.Shape.D0;
            ((_originLogits, _originLogProbs, _originSums), _originMemory) = Arena.Build(
                _ops.Device, arena => (arena.Take(_logits.Shape), arena.Take(rows), arena.Take(rows)));
            _hostOrigin = new float[rows];
        }
        _ops.LogSoftmax(_logits, OriginTemperature, _originLogits);
        _ops.LogProbs(_originLogits, _next, _originLogProbs, _originSums);
        _ops.Device.Download<float>(_originLogProbs, _hostOrigin);
        for (int row = 0; row < batch.Count; row++)
            if (_hostRunning[row] != 0) batch.OriginLogProbs[row * batch.NewTokens + position] = _hostOrigin[row];
    }

    private static void Require(int tokens, int context, string name)
    {
        if (tokens > context)
            throw new UserException($"Prompt and response take {tokens} tokens, but {name} has a context of {context}; ask for fewer tokens.");
    }
}
