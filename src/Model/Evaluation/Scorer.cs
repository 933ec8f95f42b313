using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>Log-probabilities of a given text under a language model, in nats.</summary>
/// <param name="LogProbs">ln p of each token given those before it; entry 0 belongs to the second token, for nothing comes before the first.</param>
/// <param name="LastTop">The likeliest next tokens after the whole text, best first.</param>
public sealed record Score(IReadOnlyList<float> LogProbs, IReadOnlyList<(int Id, float LogProb)> LastTop)
{
    /// <summary>ln p of all tokens but the first, given the first.</summary>
    public double Total => LogProbs.Sum(value => (double)value);
}

/// <summary>Scores texts through the cache, a part at a time, so that memory does not grow with T·V.</summary>
public sealed class Scorer : IDisposable
{
    private const int PartTokens = 256;
    private const long LogitsOfPart = 1 << 23;

    private readonly LanguageModel _model;
    private readonly int _top;
    private readonly float _temperature;
    private readonly DeviceBuffer _memory;
    private readonly StepBuffers _buffers;
    private readonly Tensor _logits, _targets, _logProbs, _logSumExp, _topIds, _topValues;
    private KvCache? _cache;
    private DeviceBuffer? _cacheMemory;

    /// <param name="top">How many of the likeliest next tokens are wanted after the text.</param>
    /// <param name="vocabulary">Ids that can come, the first ones of the model's; 0: all.</param>
    /// <param name="temperature">Of the model's law, positive.</param>
    public Scorer(LanguageModel model, int top, int vocabulary = 0, float temperature = 1)
    {
        _temperature = temperature;
        _model = model;
        if (vocabulary == 0) vocabulary = model.Config.Vocab;
        _top = Math.Clamp(top, 1, vocabulary);
        int part = (int)Math.Clamp(LogitsOfPart / vocabulary, 1, PartTokens);
        ((_buffers, _logits, _targets, _logProbs, _logSumExp, _topIds, _topValues), _memory) = Arena.Build(model.Ops.Device, arena => (
            new StepBuffers(model.Config, 1, part, model.ActivationType, arena), arena.Take((part, vocabulary)), arena.Take(part, DType.I32),
            arena.Take(part), arena.Take(part), arena.Take((1, _top), DType.I32), arena.Take((1, _top))));
    }

    /// <exception cref="UserException">The text has more tokens than the model's context, or an id that the model does not know.</exception>
    public Score Score(ReadOnlySpan<int> ids)
    {
        Require(ids);
        KvCache cache = CacheFor(ids.Length);
        Ops ops = _model.Ops;
        ops.Fill(cache.Lengths, 0);
        int part = _buffers.TokensPerRow;
        float[] logProbs = new float[ids.Length];
        float lastLogSumExp = 0;
        for (int start = 0; start < ids.Length; start += part)
        {
            int count = Math.Min(part, ids.Length - start);
            int[] targets = [.. ids[(start + 1)..Math.Min(start + count + 1, ids.Length)]];
            if (targets.Length < count) targets = [.. targets, 0];   // any token, for its row's ln Σ exp
            StepBuffers buffers = _buffers.View(1, count);
            Tensor logits = _logits.Range(0, count), deviceTargets = _targets.Range(0, count), values = _logProbs.Range(0, count), sums = _logSumExp.Range(0, count);
            ops.Device.Upload(ids.Slice(start, count), buffers.Tokens);
            ops.Device.Upload<int>(targets, deviceTargets);
            _model.Trunk.Extend(Tensor.None, cache, CacheLayout.Sequence, buffers);
            ops.Advance(cache.Lengths, Tensor.None, count);
            _model.Head.Forward(buffers.Hidden, Tensor.None, logits);
            if (_temperature != 1) ops.LogSoftmax(logits, _temperature, logits);
            ops.LogProbs(logits, deviceTargets, values, sums);
            ops.Device.Download(values, logProbs.AsSpan(start, count));
            if (start + count < ids.Length) continue;
            ops.TopK(logits.Range(count - 1, 1), _topIds, _topValues);
            float[] last = new float[1];
            ops.Device.Download<float>(sums.Range(count - 1, 1), last);
            lastLogSumExp = last[0];
        }
        return new Score(logProbs[..^1], Top(lastLogSumExp));
    }

    public void Dispose()
    {
        _cacheMemory?.Dispose();
        _memory.Dispose();
    }

    private (int Id, float LogProb)[] Top(float logSumExp)
    {
        int[] ids = new int[_top];
        float[] values = new float[_top];
        _model.Ops.Device.Download<int>(_topIds, ids);
        _model.Ops.Device.Download<float>(_topValues, values);
        return [.. ids.Zip(values, (id, logit) => (id, logit - logSumExp))];
    }

    private KvCache CacheFor(int tokens)
    {
        if (_cache is not null && _cache.Capacity >= tokens) return _cache;
        _cacheMemory?.Dispose();
        (_cache, _cacheMemory) = Arena.Build(_model.Ops.Device, arena => new KvCache(_model.Config, 1, tokens, _model.ActivationType, arena));
        return _cache;
    }

    private void Require(ReadOnlySpan<int> ids)
    {
        if (ids.IsEmpty) throw new UserException("The text has no tokens; give at least one word.");
        if (_model.Config.Position == Position.Learned && ids.Length > _model.Config.Context)
            throw new UserException($"The text has {ids.Length} tokens, but the model has a context of {_model.Config.Context}; give a shorter one.");
        foreach (int id in ids)
            if ((uint)id >= (uint)_model.Config.Vocab)
                throw new UserException($"Token {id} is beyond the model's vocabulary of {_model.Config.Vocab}; the tokenizer belongs to another model.");
    }
}
