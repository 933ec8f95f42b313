using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// Draws responses from π_ref alone or guided by a value model, a batch of rows at a time. One guided step: π_ref's
/// logits → top K → the value model on K siblings → head → guidance draws → the drawn sibling's column stays in the
/// value model's cache. Memory is planned once; a step allocates nothing.
/// </summary>
public sealed class Sampler : IDisposable
{
    private readonly LanguageModel _reference;
    private readonly ValueModel? _guide;
    private readonly Guidance _guidance;
    private readonly Ops _ops;
    private readonly CachedModel _referenceCache;
    private readonly CachedModel? _guideCache;
    private readonly DeviceBuffer _memory;
    private readonly Tensor _logits, _candidates, _valueLogits, _prefixTilt, _streams, _positions, _next, _chosen, _statistics, _tiltRows, _outside, _running;
    private readonly int[] _hostNext, _hostChosen, _hostOutside, _hostRunning;
    private readonly float[] _hostStatistics;
    private readonly HashSet<int> _stops;

    /// <param name="candidates">K: tokens that the guide scores at each step; not read without a guide.</param>
    /// <param name="stops">Tokens that end a response.</param>
    /// <param name="rowTokens">Most tokens of a row's prompt and response together, where that is less than the sum of both; else 0.</param>
    public Sampler(
        LanguageModel reference, ValueModel? guide, Guidance guidance, int rows, int promptTokens, int newTokens, int candidates, IEnumerable<int> stops,
        int rowTokens = 0)
    {
        _reference = reference;
        _guide = guide;
        _guidance = guidance;
        _ops = reference.Ops;
        _stops = [.. stops];
        int vocabulary = reference.Config.Vocab;
        int k = guide is null ? 1 : Math.Min(candidates, Math.Min(vocabulary, guide.Config.Vocab));
        int atoms = guide?.Head.Outputs ?? 1;
        int longest = rowTokens > 0 ? rowTokens : promptTokens + newTokens;
        Require(reference, longest, "the reference");
        if (guide is not null) Require(guide, longest, "the guide");
        _referenceCache = new CachedModel(reference, rows, promptTokens, newTokens, step: 1);
        if (guide is not null) _guideCache = new CachedModel(guide, rows, promptTokens, newTokens, guide.Head.ReadsAtToken ? k : 1);
        ((_logits, _candidates, _valueLogits, _prefixTilt, _streams, _positions, _next, _chosen, _statistics, _tiltRows, _outside, _running), _memory) = Arena.Build(
            _ops.Device, arena => (
                arena.Take((rows, vocabulary)), arena.Take((rows, k), DType.I32), arena.Take((rows, k, atoms)), arena.Take(rows),
                arena.Take(rows, DType.I32), arena.Take(rows, DType.I32), arena.Take(rows, DType.I32), arena.Take(rows, DType.I32),
                arena.Take((rows, SampleStatistics.Count)), arena.Take(rows, DType.I32), arena.Take(rows, DType.I32), arena.Take(rows, DType.I32)));
        _hostNext = new int[rows];
        _hostChosen = new int[rows];
        _hostOutside = new int[rows];
        _hostRunning = new int[rows];
        _hostStatistics = new float[rows * SampleStatistics.Count];
        int[] tiltRows = [.. Enumerable.Range(0, rows).Select(row => row * SampleStatistics.Count + SampleStatistics.ChosenTilt)];
        _ops.Device.Upload<int>(tiltRows, _tiltRows);
    }

    /// <summary>Samples a response for every row of the batch.</summary>
    /// <param name="key">Of the noise; with the rows' streams and the positions it fixes every draw.</param>
    public void Run(SampleBatch batch, GuidanceRule rule, ulong key, CancellationToken stop = default)
    {
        bool guided = rule.IsGuided;
        if (guided && _guide is null) throw new ArgumentException("A tilt needs a guide.");
        _ops.Device.Upload<int>(batch.Streams, _streams);
        _referenceCache.Prefill(batch, CacheLayout.Sequence);
        _reference.Head.Forward(_referenceCache.LastHidden, Tensor.None, _logits);
        if (guided)
        {
            _guideCache!.Prefill(batch, _guide!.Settings.BidirectionalPrompt ? CacheLayout.Prompt : CacheLayout.Sequence);
            _ops.Fill(_prefixTilt, float.NaN);
        }
        Array.Clear(batch.ResponseLengths);
        int longest = 0;
        for (int row = 0; row < batch.Count; row++) longest = Math.Max(longest, batch.Limits[row]);
        for (int position = 0; position < longest; position++)
        {
            stop.ThrowIfCancellationRequested();
            if (!Step(batch, rule, key, position, isLast: position + 1 == longest)) return;
        }
    }

    public void Dispose()
    {
        _referenceCache.Dispose();
        _guideCache?.Dispose();
        _memory.Dispose();
    }

    /// <summary>Draws one token for every row; false when all rows have ended.</summary>
    private bool Step(SampleBatch batch, GuidanceRule rule, ulong key, int position, bool isLast)
    {
        bool guided = rule.IsGuided;
        _ops.Fill(_positions, position);
        if (guided) ScoreCandidates(position);
        GuidanceInputs inputs = new(
            _logits, guided ? _candidates : Tensor.None, guided ? _valueLogits : Tensor.None, guided ? _prefixTilt : Tensor.None, _streams, _positions);
        _guidance.Sample(inputs, rule, key, new GuidanceOutputs(_next, _chosen, _statistics));
        bool running = Record(batch, position);
        if (isLast || !running) return false;
        _ops.Device.Upload<int>(_hostRunning, _running);
        _referenceCache.Append(_next, _running);
        _reference.Head.Forward(_referenceCache.Single.Hidden, Tensor.None, _logits);
        if (guided) KeepChosen();
        return true;
    }

    private void ScoreCandidates(int position)
    {
        _ops.TopK(_logits, _candidates, Tensor.None);
        CachedModel guide = _guideCache!;
        Tensor flatCandidates = _candidates.As((int)_candidates.Count);
        Tensor hidden;
        if (_guide!.Head.ReadsAtToken)
        {
            _ops.Copy(_candidates, guide.Step.Tokens);
            _guide.Trunk.Extend(Tensor.None, guide.Cache, CacheLayout.Siblings, guide.Step);
            hidden = guide.Step.Hidden;
        }
        else
        {
            hidden = position == 0 ? guide.LastHidden : guide.Single.Hidden;
        }
        _guide.Head.Forward(hidden, flatCandidates, _valueLogits.As((flatCandidates.Shape.D0, _guide.Head.Outputs)));
    }

    private void KeepChosen()
    {
        CachedModel guide = _guideCache!;
        int columns = SampleStatistics.Count, outside = 0;
        for (int row = 0; row < _hostChosen.Length; row++)
        {
            outside += _hostOutside[row] = _hostChosen[row] < 0 ? 1 : 0;
            // The tilt of a token from outside of the candidates is a rule's, not the guide's: no ln W of the next prefix.
            if (_hostOutside[row] > 0) _hostStatistics[row * columns + SampleStatistics.ChosenTilt] = float.NaN;
        }
        if (outside > 0) _ops.Device.Upload<float>(_hostStatistics, _statistics);
        _ops.Gather(_statistics.As(((int)_statistics.Count, 1)), _tiltRows, _prefixTilt.As((_prefixTilt.Shape.D0, 1)));
        if (!_guide!.Head.ReadsAtToken)
        {
            guide.Append(_next, _running);
            return;
        }
        _guide.Trunk.KeepSibling(guide.Cache, _chosen);
        if (outside > 0)
        {
            // Such a token has no column yet: one more pass for those rows alone.
            _ops.Device.Upload<int>(_hostOutside, _outside);
            _ops.Copy(_next, guide.Single.Tokens);
            _guide.Trunk.Extend(_outside, guide.Cache, CacheLayout.Sequence, guide.Single);
        }
        _ops.Advance(guide.Cache.Lengths, _running, 1);
    }

    private bool Record(SampleBatch batch, int position)
    {
        _ops.Device.Download<int>(_next, _hostNext);
        _ops.Device.Download<int>(_chosen, _hostChosen);
        _ops.Device.Download<float>(_statistics, _hostStatistics);
        bool running = false;
        Array.Clear(_hostRunning);
        for (int row = 0; row < batch.Count; row++)
        {
            if (batch.ResponseLengths[row] != position || position >= batch.Limits[row]) continue;   // ended before
            int at = row * batch.NewTokens + position;
            if (position > 0 && _stops.Contains(batch.Responses[at - 1])) continue;
            batch.Responses[at] = _hostNext[row];
            _hostStatistics.AsSpan(row * SampleStatistics.Count, SampleStatistics.Count).CopyTo(batch.Statistics.AsSpan(at * SampleStatistics.Count));
            batch.ResponseLengths[row]++;
            bool goesOn = position + 1 < batch.Limits[row] && !_stops.Contains(_hostNext[row]);
            _hostRunning[row] = goesOn ? 1 : 0;
            running |= goesOn;
        }
        return running;
    }

    private static void Require(HeadedModel model, int tokens, string name)
    {
        if (model.Config.Position == Position.Learned && tokens > model.Config.Context)
            throw new UserException($"Prompt and response take {tokens} tokens, but {name} has a context of {model.Config.Context}; ask for fewer tokens.");
    }
}
