using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// Draws responses from π_ref alone or guided by a value model, a batch of rows at a time, all by the same step (<see cref="SampleStep"/>).
/// Rows that have ended take the next prompts that wait, so that the batch stays full (continuous batching): a row's first token is
/// drawn in the same step as the others' next ones, from the hidden state of its prompt's last token. Between two steps the host looks at
/// the tokens drawn.
/// </summary>
public sealed class Sampler : IResponseSampler
{
    // Prompts are read for this share of the rows at once, so that the passes over them are worth while.
    private const int RefillShare = 8;

    private readonly PromptSlots _slots;
    private readonly SampleStep _step;
    private readonly StepRecord _record;
    private readonly int[] _active, _lengths;       // rows that draw in this step; columns behind each row's prompt
    private readonly List<int> _ended;
    private readonly HashSet<int> _stops;

    /// <param name="stops">Tokens that end a response.</param>
    public Sampler(LanguageModel reference, IGuide? guide, Guidance guidance, SamplerShape shape, IEnumerable<int> stops)
    {
        _stops = [.. stops];
        _slots = new PromptSlots(shape.Rows, shape.PromptSlots, shape.PromptTokens);
        _active = new int[shape.Rows];
        _lengths = new int[shape.Rows];
        _ended = new List<int>(shape.Rows);
        _step = new SampleStep(reference, guide, guidance, shape);
        _record = new StepRecord(reference.Ops, _step);
    }

    /// <summary>π_ref at another temperature (positive) and top-p, under which log-probabilities are wanted too (<see cref="SampleBatch.OriginLogProbs"/>); null: none.</summary>
    public GuidanceRule? Origin { get; init; }

    /// <summary>Whether prompts that one run has read serve the next ones too: the models do not change between them.</summary>
    public bool KeepsPrompts { get; init; }

    /// <summary>Seconds spent on reading prompts, all runs together.</summary>
    public double PromptSeconds => _step.PromptSeconds;

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
        _record.Dispose();
        _step.Dispose();
    }

    /// <param name="queue">Null: the rows that the batch holds, and no more.</param>
    private IEnumerable<int> Decode(
        SampleBatch batch, SampleQueue? queue, GuidanceRule rule, ulong key, Func<int, int, bool>? goesOn, CancellationToken stop)
    {
        if (batch.Rows > _active.Length) throw new ArgumentException($"A batch of {batch.Rows} rows does not fit a sampler of {_active.Length}.");
        _step.Record(rule, key);
        _slots.Reset(KeepsPrompts);
        _step.Inputs.Clear();
        Array.Clear(_active);
        int running = 0;
        for (bool isFirst = true; ; isFirst = false)
        {
            stop.ThrowIfCancellationRequested();
            int started = queue is not null ? Refill(batch, queue, running) : isFirst ? StartAll(batch) : 0;
            if (running + started == 0) yield break;
            if (isFirst) ParkIdleRows();
            DrawNext(batch, rule, key, hasStarted: started > 0, isFirst: running == 0, stop);
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
        _step.Inputs.HostStreams[row] = batch.Streams[row];
        _active[row] = 1;
    }

    private void SetWeights(SampleBatch batch, int row, float[] weights)
    {
        if (batch.Weights.Length == 0) batch.Weights = new float[_step.Weights.Count];
        weights.CopyTo(batch.Weights.AsSpan(row * weights.Length));
    }

    private void ParkIdleRows()
    {
        int like = Array.IndexOf(_active, 1);
        for (int row = 0; row < _active.Length; row++)
            if (_active[row] == 0) _slots.Park(row, like);
    }

    /// <summary>Draws the next token of every active row.</summary>
    /// <param name="hasStarted">Whether rows have taken new prompts.</param>
    /// <param name="isFirst">Whether no row has drawn a token yet.</param>
    private void DrawNext(SampleBatch batch, GuidanceRule rule, ulong key, bool hasStarted, bool isFirst, CancellationToken stop)
    {
        RowInputs inputs = _step.Inputs;
        for (int row = 0; row < _active.Length; row++)
        {
            bool isRunning = inputs.HostRunning[row] != 0;
            inputs.HostSource[row] = isRunning ? row : _active.Length + _slots.Of[row];
            inputs.HostPositions[row] = _active[row] != 0 ? batch.ResponseLengths[row] : 0;
            _lengths[row] = isRunning ? batch.ResponseLengths[row] - 1 : 0;
        }
        _step.Begin(rule);
        if (hasStarted) _step.Start(_slots, _lengths, rule, batch.Weights);
        _step.Draw(rule, key, _active, batch.Weights, isFirst, stop);
    }

    /// <summary>Takes what was drawn to the host.</summary>
    /// <returns>How many rows go on.</returns>
    private int Take(SampleBatch batch, Func<int, int, bool>? goesOn)
    {
        _record.Take(batch, _active, Origin);
        _ended.Clear();
        int running = 0;
        for (int row = 0; row < batch.Count; row++)
        {
            if (_active[row] == 0) continue;
            int token = batch.Response(row)[^1];
            bool isWanted = goesOn is null || goesOn(row, token);
            batch.Finishes[row] = _stops.Contains(token) ? Finish.End : isWanted ? Finish.Length : Finish.Stop;
            bool runs = batch.Finishes[row] == Finish.Length && batch.ResponseLengths[row] < batch.Limits[row];
            _active[row] = _step.Inputs.HostRunning[row] = runs ? 1 : 0;
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
}
