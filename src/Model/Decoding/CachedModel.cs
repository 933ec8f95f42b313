using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>A model with its cache and the buffers of the passes that decoding makes.</summary>
internal sealed class CachedModel : IDisposable
{
    private readonly DeviceBuffer _memory;
    private readonly StepBuffers _prompt;
    private readonly Tensor _counts, _lastRows;
    private readonly int[] _hostRows;

    /// <param name="step">Tokens a row in each pass after the prompt: 1, or the number of sibling candidates.</param>
    public CachedModel(HeadedModel model, int rows, int promptTokens, int newTokens, int step)
    {
        Model = model;
        ((_prompt, Step, Single, Cache, LastHidden, _counts, _lastRows), _memory) = Arena.Build(model.Ops.Device, arena =>
        {
            StepBuffers single = new(model.Config, rows, 1, arena);
            return (
                new StepBuffers(model.Config, rows, promptTokens, arena),
                step == 1 ? single : new StepBuffers(model.Config, rows, step, arena),
                single,
                new KvCache(model.Config, rows, promptTokens + newTokens + step, arena),
                arena.Take((rows, model.Config.Width)),
                arena.Take(rows, DType.I32),
                arena.Take(rows, DType.I32));
        });
        _hostRows = new int[rows];
    }

    public HeadedModel Model { get; }

    /// <summary>Buffers of a decoding pass.</summary>
    public StepBuffers Step { get; }

    /// <summary>Buffers of a pass of one token a row.</summary>
    public StepBuffers Single { get; }

    public KvCache Cache { get; }

    /// <summary>[R, C]: hidden state of each row's last prompt token.</summary>
    public Tensor LastHidden { get; }

    /// <summary>Empties the cache and runs the prompts.</summary>
    public void Prefill(SampleBatch batch, CacheLayout layout)
    {
        Ops ops = Model.Ops;
        ops.Fill(Cache.Lengths, 0);
        ops.Device.Upload<int>(batch.Prompts, _prompt.Tokens);
        ops.Device.Upload<int>(batch.PromptLengths, _counts);
        Model.Trunk.Extend(_counts, Cache, layout, _prompt);
        ops.Advance(Cache.Lengths, _counts, 0);
        for (int row = 0; row < _hostRows.Length; row++)
            _hostRows[row] = row * batch.PromptTokens + Math.Max(batch.PromptLengths[row] - 1, 0);
        ops.Device.Upload<int>(_hostRows, _lastRows);
        ops.Gather(_prompt.Hidden, _lastRows, LastHidden);
    }

    /// <summary>Appends one token to every row that goes on. One that has ended must not grow past the model's context.</summary>
    /// <param name="tokens">[R] I32.</param>
    /// <param name="counts">[R] I32, 1 where the row goes on and 0 where it has ended; or None: all go on.</param>
    public void Append(Tensor tokens, Tensor counts)
    {
        Ops ops = Model.Ops;
        ops.Copy(tokens, Single.Tokens);
        Model.Trunk.Extend(counts, Cache, CacheLayout.Sequence, Single);
        ops.Advance(Cache.Lengths, counts, 1);
    }

    public void Dispose() => _memory.Dispose();
}
