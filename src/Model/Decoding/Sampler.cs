using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>The most that a sampler can hold.</summary>
/// <param name="Rows">Responses drawn side by side.</param>
/// <param name="PromptTokens">Tokens of a prompt.</param>
/// <param name="NewTokens">Tokens of a response.</param>
/// <param name="Candidates">K: tokens that the guide scores at each step, or <see cref="GuideRecipe.AllCandidates"/>; not read without a guide.</param>
/// <param name="RowTokens">Tokens of a prompt and its response together, where that is less than the sum of both; else 0.</param>
/// <param name="Vocabulary">Ids that may be drawn, the first ones of the reference's: those beyond the tokenizer never are. 0: all.</param>
/// <param name="Prompts">Prompts that are kept at once, where that is more than one a row; else 0.</param>
public sealed record SamplerShape(int Rows, int PromptTokens, int NewTokens, int Candidates = 1, int RowTokens = 0, int Vocabulary = 0, int Prompts = 0)
{
    internal int Longest => RowTokens > 0 ? RowTokens : PromptTokens + NewTokens;

    internal int PromptSlots => Math.Max(Rows, Prompts);

    /// <summary>Ids that may be drawn from a reference.</summary>
    internal int VocabularyOf(LanguageModel reference) => Vocabulary > 0 ? Vocabulary : reference.Config.Vocab;

    /// <exception cref="UserException">A text is longer than a model reads, or a token is none of the guide's.</exception>
    internal void Require(LanguageModel reference, IGuide? guide)
    {
        int vocabulary = VocabularyOf(reference);
        if (guide is not null && guide.Vocabulary < vocabulary)
            throw new UserException($"The guide knows {guide.Vocabulary} tokens, but the reference uses {vocabulary}; give a guide with the reference's tokenizer.");
        RequireContext(reference.Config.Position == Position.Learned ? reference.Config.Context : int.MaxValue, "the reference");
        if (guide is not null) RequireContext(guide.LongestText, "the guide");
    }

    private void RequireContext(int context, string name)
    {
        if (Longest > context)
            throw new UserException($"Prompt and response take {Longest} tokens, but {name} has a context of {context}; ask for fewer tokens.");
    }
}

/// <summary>
/// Draws responses from π_ref alone or guided by a value model, a batch of rows at a time; rows that have ended take the next
/// prompts that wait, so that the batch stays full (continuous batching). One guided step: π_ref's logits → top K → the value
/// model on K siblings → head → guidance draws → the drawn sibling's column stays in the value model's cache. A Q-type
/// guide may score every token instead of K. A row's first token is drawn in the same step as the others' next ones, from the hidden
/// state of its prompt's last token. Memory is planned once; a step allocates nothing, and is recorded (one CUDA graph) and replayed;
/// between two steps the host looks at the tokens drawn.
/// </summary>
public sealed class Sampler : IResponseSampler
{
    // Prompts are read for this share of the rows at once, so that the passes over them are worth while.
    private const int RefillShare = 8;

    private readonly LanguageModel _reference;
    private readonly IGuide? _guide;
    private readonly Guidance _guidance;
    private readonly Ops _ops;
    private readonly PromptSlots _slots;
    private readonly CachedModel _referenceCache;
    private readonly GuideState? _guideState;
    private readonly RejectionSampling? _rejection;
    private readonly bool _scoresAll;   // by a Q-type guide; a V-type one goes by rejection
    private readonly DeviceBuffer _memory;
    private readonly Tensor _logits, _candidates, _valueLogits, _weights, _prefixTilt, _tiltRows, _promptLogits, _promptTilts;
    private readonly RowInputs _inputs;
    private readonly DrawnRows _drawn;
    private readonly int[] _active, _lengths;       // rows that draw in this step; columns behind each row's prompt
    private readonly List<int> _ended;
    private readonly HashSet<int> _stops;
    private RecordedStep? _step, _outsideStep;
    private OriginLogProbs? _origin;
    private readonly float[] _hostPromptTilts;
    private float[] _hostHidden = [];
    private (GuidanceRule? Rule, ulong Key) _recorded;

    /// <param name="stops">Tokens that end a response.</param>
    public Sampler(LanguageModel reference, IGuide? guide, Guidance guidance, SamplerShape shape, IEnumerable<int> stops)
    {
        _reference = reference;
        _guide = guide;
        _guidance = guidance;
        _ops = reference.Ops;
        _stops = [.. stops];
        shape.Require(reference, guide);
        int rows = shape.Rows, vocabulary = shape.VocabularyOf(reference);
        bool isExact = guide is not null && shape.Candidates == GuideRecipe.AllCandidates, rejects = isExact && guide!.Settings.Kind == HeadKind.V;
        _scoresAll = isExact && !rejects;
        int k = guide is null || _scoresAll ? 1 : rejects ? RejectionSampling.Proposals : Math.Min(shape.Candidates, vocabulary);
        int atoms = guide?.Settings.Family.Atoms ?? 1;
        _slots = new PromptSlots(rows, shape.PromptSlots, shape.PromptTokens);
        _active = new int[rows];
        _lengths = new int[rows];
        _ended = new List<int>(rows);
        _hostPromptTilts = new float[rows];
        _hostPromptTilts.AsSpan().Fill(float.NaN);
        int[] tiltRows = [.. Enumerable.Range(0, rows).Select(row => row * SampleStatistics.Count + SampleStatistics.ChosenTilt)];
        try
        {
            _referenceCache = new CachedModel(reference, rows, shape.PromptSlots, shape.PromptTokens, shape.NewTokens, step: 1);
            _guideState = guide?.Open(_referenceCache, shape with { Vocabulary = vocabulary }, _scoresAll ? GuideRecipe.AllCandidates : k);
            if (rejects) _rejection = new RejectionSampling((ValueModel)guide!, ((OwnTrunkState)_guideState!).Cache, rows);
            ((_logits, _candidates, _valueLogits, _weights, _prefixTilt, _tiltRows, _promptLogits, _promptTilts, _inputs, _drawn), _memory) = Arena.Build(_ops.Device, arena => (
                arena.Take((rows, vocabulary)), arena.Take((rows, k), DType.I32), arena.Take((rows, k, atoms)),
                arena.Take((rows, guide?.Settings.Family.Returns ?? 1)), arena.Take(rows), arena.Take(rows, DType.I32),
                arena.Take((rows, atoms)), arena.Take((rows, 1)), new RowInputs(rows, arena), new DrawnRows(rows, arena)));
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

    /// <summary>Whether prompts that one run has read serve the next ones too: the models do not change between them.</summary>
    public bool KeepsPrompts { get; init; }

    /// <summary>Seconds spent on reading prompts, all runs together.</summary>
    public double PromptSeconds { get; private set; }

    /// <summary>Samples a response for every row of the batch. A weighted tilt takes each row's log-weights from the batch, or from its request.</summary>
    /// <param name="key">Of the noise; with the rows' streams and the positions it fixes every draw.</param>
    /// <param name="goesOn">Sees every row and token as it is drawn, and says whether the response goes on; null: always.</param>
    public void Run(SampleBatch batch, GuidanceRule rule, ulong key, CancellationToken stop = default, Func<int, int, bool>? goesOn = null)
    {
        foreach (int _ in Decode(batch, null, rule, key, goesOn, stop)) continue;
    }

    /// <inheritdoc/>
    public IEnumerable<int> Run(
        IEnumerable<SampleRequest> requests, SampleBatch batch, GuidanceRule rule, ulong key, CancellationToken stop = default, Func<int, int, bool>? goesOn = null)
    {
        batch.Clear();
        using IEnumerator<SampleRequest> source = requests.GetEnumerator();
        foreach (int row in Decode(batch, new SampleQueue(source, _active.Length), rule, key, goesOn, stop)) yield return row;
    }

    public void Dispose()
    {
        _step?.Dispose();
        _outsideStep?.Dispose();
        _rejection?.Dispose();
        _referenceCache?.Dispose();   // null after a constructor that failed
        _guideState?.Dispose();
        _memory?.Dispose();
        _origin?.Dispose();
    }

    /// <param name="queue">Null: the rows that the batch holds, and no more.</param>
    private IEnumerable<int> Decode(
        SampleBatch batch, SampleQueue? queue, GuidanceRule rule, ulong key, Func<int, int, bool>? goesOn, CancellationToken stop)
    {
        if (rule.IsGuided && _guide is null) throw new ArgumentException("A tilt needs a guide.");
        if (rule.IsGuided && _rejection is not null && !RejectionSampling.Draws(rule)) throw new ArgumentException($"No draws by rejection from {rule}.");
        if (batch.Rows > _active.Length) throw new ArgumentException($"A batch of {batch.Rows} rows does not fit a sampler of {_active.Length}.");
        RecordStep(rule, key);
        _slots.Reset(KeepsPrompts);
        _inputs.Clear();
        Array.Clear(_active);
        int running = 0;
        for (bool isFirst = true; ; isFirst = false)
        {
            stop.ThrowIfCancellationRequested();
            int started = queue is not null ? Refill(batch, queue, running) : isFirst ? StartAll(batch) : 0;
            if (running + started == 0) yield break;
            if (isFirst) ParkIdleRows();
            DrawNext(batch, rule, key, hasStarted: started > 0, isFirst: running == 0);
            running = Take(batch, goesOn);
            foreach (int row in _ended) yield return row;
        }
    }

    private int StartAll(SampleBatch batch)
    {
        for (int row = 0; row < batch.Count; row++) Start(batch, row);
        return batch.Count;
    }

    /// <summary>Gives waiting prompts to the rows that are free, once there are enough of these.</summary>
    /// <returns>How many rows have started.</returns>
    private int Refill(SampleBatch batch, SampleQueue queue, int running)
    {
        int started = 0;
        if (running > 0 && batch.Rows - running < Math.Max(1, batch.Rows / RefillShare)) return 0;
        for (int row = 0; row < batch.Rows; row++)
        {
            if (_active[row] != 0) continue;
            if (!queue.TryTake(out SampleRequest request)) break;
            batch.Set(row, request.Prompt, request.Limit, request.Stream, request.Number);
            if (request.Weights is not null) SetWeights(batch, row, request.Weights);
            batch.Count = Math.Max(batch.Count, row + 1);
            Start(batch, row);
            started++;
        }
        return started;
    }

    private void Start(SampleBatch batch, int row)
    {
        _slots.Take(row, batch.Prompt(row));
        batch.ResponseLengths[row] = 0;
        _inputs.HostStreams[row] = batch.Streams[row];
        _active[row] = 1;
    }

    private void ParkIdleRows()
    {
        int like = Array.IndexOf(_active, 1);
        for (int row = 0; row < _active.Length; row++)
            if (_active[row] == 0) _slots.Park(row, like);
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

    /// <summary>Draws the next token of every active row.</summary>
    /// <param name="hasStarted">Whether rows have taken new prompts.</param>
    /// <param name="isFirst">Whether no row has drawn a token yet.</param>
    private void DrawNext(SampleBatch batch, GuidanceRule rule, ulong key, bool hasStarted, bool isFirst)
    {
        bool isByCandidates = rule.IsGuided && _rejection is null, hasOutside = isByCandidates && MarkOutside();
        for (int row = 0; row < _active.Length; row++)
        {
            bool isRunning = _inputs.HostRunning[row] != 0;
            _inputs.HostSource[row] = isRunning ? row : _active.Length + _slots.Of[row];
            _inputs.HostPositions[row] = _active[row] != 0 ? batch.ResponseLengths[row] : 0;
            _lengths[row] = isRunning ? batch.ResponseLengths[row] - 1 : 0;
        }
        _inputs.Upload();
        if (hasStarted) StartCaches(rule);
        if (hasStarted && rule.Tilt == Tilt.Weighted) UploadWeights(batch);
        if (isByCandidates && hasStarted && _guide!.Settings.HasPromptValue) ReadPromptTilts(rule);
        if (isByCandidates && (hasStarted || hasOutside)) SetPrefixTilts();
        if (_rejection is not null && rule.IsGuided) DrawByRejection(batch, rule, key, isFirst);
        else if (isFirst)
        {
            if (rule.IsGuided) TakePrefixTilts();
            Draw(rule, key);
        }
        else (hasOutside ? _outsideStep! : _step!).Run();
    }

    private void StartCaches(GuidanceRule rule)
    {
        long start = System.Diagnostics.Stopwatch.GetTimestamp();
        _referenceCache.Start(_slots, _lengths, CacheLayout.Sequence, _inputs.Source);
        if (rule.IsGuided) _guideState!.Start(_slots, _lengths, _inputs.Source);
        _ops.Device.Synchronize();
        PromptSeconds += System.Diagnostics.Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    private void SetWeights(SampleBatch batch, int row, float[] weights)
    {
        if (batch.Weights.Length == 0) batch.Weights = new float[_weights.Count];
        weights.CopyTo(batch.Weights.AsSpan(row * weights.Length));
    }

    private void UploadWeights(SampleBatch batch)
    {
        if (batch.Weights.Length != _weights.Count)
            throw new ArgumentException($"A weighted tilt needs {_weights.Count} log-weights for the batch, not {batch.Weights.Length}.");
        _ops.Device.Upload<float>(batch.Weights, _weights);
    }

    private Tensor WeightsOf(GuidanceRule rule) => rule.Tilt == Tilt.Weighted ? _weights : Tensor.None;

    /// <summary>Takes the tokens drawn into the caches and draws the next ones.</summary>
    /// <param name="hasOutside">Whether any row drew a token that is none of the candidates.</param>
    private void Step(GuidanceRule rule, ulong key, bool hasOutside)
    {
        Append();
        if (rule.IsGuided) KeepChosen(hasOutside);
        Draw(rule, key);
    }

    private void Append()
    {
        _referenceCache.Append(_drawn.Next, _inputs.Running);
        _referenceCache.Select(_inputs.Source);
    }

    private void Draw(GuidanceRule rule, ulong key)
    {
        _reference.Head.Forward(_referenceCache.Hidden, Tensor.None, _logits);
        GuidanceInputs inputs = new(_logits, Tensor.None, Tensor.None, Tensor.None, _inputs.Streams, _inputs.Positions, WeightsOf(rule));
        if (rule.IsGuided && _scoresAll)
        {
            TokenLogits all = _guideState!.ScoreAll();
            inputs = inputs with { ValueLogits = all.Logits, ValueBias = all.Bias, PrefixTilt = _prefixTilt };
        }
        else if (rule.IsGuided)
        {
            _ops.TopK(_logits, _candidates, Tensor.None);
            _guideState!.ScoreNext(_candidates, _valueLogits);
            inputs = inputs with { Candidates = _candidates, ValueLogits = _valueLogits, PrefixTilt = _prefixTilt };
        }
        _guidance.Sample(inputs, rule, key, new GuidanceOutputs(_drawn.Next, _drawn.Chosen, _drawn.Statistics));
    }

    private void DrawByRejection(SampleBatch batch, GuidanceRule rule, ulong key, bool isFirst)
    {
        if (!isFirst)
        {
            Append();
            _rejection!.Take(_inputs.Running);
        }
        _reference.Head.Forward(_referenceCache.Hidden, Tensor.None, _logits);
        RejectionStep step = new(_logits, WeightsOf(rule), _inputs.Streams, _inputs.Positions, new GuidanceOutputs(_drawn.Next, _drawn.Chosen, _drawn.Statistics));
        _rejection!.Draw(step, rule, key, _inputs.HostPositions, _inputs.HostStreams, _active, batch.Weights);
    }

    /// <summary>Tells the device which rows drew a token from outside of the candidates; false if none did.</summary>
    private bool MarkOutside()
    {
        int outside = 0;
        for (int row = 0; row < _active.Length; row++)
            outside += _inputs.HostOutside[row] = _inputs.HostRunning[row] != 0 && !_scoresAll && _drawn.HostChosen[row] < 0 ? 1 : 0;
        return outside > 0;
    }

    /// <summary>The guide's own ln W of the prompts of the rows that start.</summary>
    private void ReadPromptTilts(GuidanceRule rule)
    {
        _guideState!.ScorePrompts(_promptLogits);
        _ops.AtomTilt(_promptLogits, rule.Family, rule.Tilt, rule.Lambda, WeightsOf(rule), _promptTilts);
        _ops.Device.Download<float>(_promptTilts, _hostPromptTilts);
    }

    /// <summary>
    /// Tells the device the ln W of the prefix where it is not the tilt of the last token: of a row that starts it is that of the prompt,
    /// where the guide has one; after a token from outside of the candidates, whose tilt is a rule's and not the guide's, it is not known.
    /// </summary>
    private void SetPrefixTilts()
    {
        for (int row = 0; row < _active.Length; row++)
        {
            bool isRunning = _inputs.HostRunning[row] != 0;
            if (isRunning && _inputs.HostOutside[row] == 0) continue;
            _drawn.HostStatistics[row * SampleStatistics.Count + SampleStatistics.ChosenTilt] = isRunning ? float.NaN : _hostPromptTilts[row];
            if (!isRunning) _drawn.HostChosen[row] = -1;   // nothing to keep
        }
        _drawn.Upload();
    }

    /// <summary>The tilt of the last token is ln W of the prefix that it ends.</summary>
    private void TakePrefixTilts()
    {
        Tensor statistics = _drawn.Statistics;
        _ops.Gather(statistics.As(((int)statistics.Count, 1)), _tiltRows, _prefixTilt.As((_prefixTilt.Shape.D0, 1)));
    }

    private void KeepChosen(bool hasOutside)
    {
        TakePrefixTilts();
        _guideState!.Take(new DrawnTokens(_drawn.Next, _drawn.Chosen, _inputs.Running, hasOutside ? _inputs.Outside : Tensor.None, _inputs.Source));
    }

    /// <summary>Takes what was drawn to the host.</summary>
    /// <returns>How many rows go on.</returns>
    private int Take(SampleBatch batch, Func<int, int, bool>? goesOn)
    {
        _drawn.Download();
        if (batch.Hidden is not null) TakeHidden(batch);
        if (OriginTemperature > 0) TakeOriginLogProbs(batch);
        _ended.Clear();
        int running = 0;
        for (int row = 0; row < batch.Count; row++)
        {
            if (_active[row] == 0) continue;
            int position = batch.ResponseLengths[row]++, at = row * batch.NewTokens + position, token = _drawn.HostNext[row];
            batch.Responses[at] = token;
            _drawn.HostStatistics.Slice(row * SampleStatistics.Count, SampleStatistics.Count).CopyTo(batch.Statistics.AsSpan(at * SampleStatistics.Count));
            bool isWanted = goesOn is null || goesOn(row, token);
            batch.Finishes[row] = _stops.Contains(token) ? Finish.End : isWanted ? Finish.Length : Finish.Stop;
            bool runs = batch.Finishes[row] == Finish.Length && position + 1 < batch.Limits[row];
            _active[row] = _inputs.HostRunning[row] = runs ? 1 : 0;
            if (runs)
            {
                running++;
                continue;
            }
            _slots.Release(row);
            _ended.Add(row);
        }
        return running;
    }

    /// <summary>The hidden states that the tokens were drawn from.</summary>
    private void TakeHidden(SampleBatch batch)
    {
        Tensor hidden = _referenceCache.Hidden;
        int width = hidden.Shape.Last;
        if (_hostHidden.Length == 0) _hostHidden = new float[hidden.Count];
        TensorValues.Read(hidden, _hostHidden);
        for (int row = 0; row < batch.Count; row++)
        {
            if (_active[row] == 0) continue;
            Span<Half> to = batch.Hidden.AsSpan((row * batch.NewTokens + batch.ResponseLengths[row]) * width, width);
            for (int c = 0; c < width; c++) to[c] = (Half)_hostHidden[row * width + c];
        }
    }

    private void TakeOriginLogProbs(SampleBatch batch)
    {
        _origin ??= new OriginLogProbs(_ops, _logits);
        ReadOnlySpan<float> logProbs = _origin.Of(_logits, _drawn.Next, OriginTemperature);
        for (int row = 0; row < batch.Count; row++)
            if (_active[row] != 0) batch.OriginLogProbs[row * batch.NewTokens + batch.ResponseLengths[row]] = logProbs[row];
    }
}
