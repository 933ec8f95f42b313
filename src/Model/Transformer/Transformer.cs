using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// The trunk: tokens to hidden states, and back. What becomes of a hidden state is the business of a head
/// (<see cref="LmHead"/>, <see cref="ValueHead"/>).
/// </summary>
public sealed class Transformer : IDisposable
{
    private readonly Ops _ops;
    private readonly Block _block;
    private readonly DeviceBuffer? _frequencyMemory;

    public Transformer(Ops ops, TransformerConfig config, Weights weights)
    {
        _ops = ops;
        Config = config;
        Weights = weights;
        Tensor frequencies = Tensor.None;
        if (config.Position == Position.Rope)
        {
            (frequencies, _frequencyMemory) = Arena.Build(ops.Device, arena => arena.Take(config.HeadDim / 2));
            try
            {
                ops.Device.Upload<float>(RopeFrequencies.Compute(config.HeadDim, config.RopeTheta, config.RopeScaling), frequencies);
            }
            catch
            {
                Dispose();
                throw;
            }
        }
        _block = new Block(ops, config, frequencies);
    }

    public TransformerConfig Config { get; }

    public Weights Weights { get; }

    /// <summary>Fills <see cref="Activations.Hidden"/> for a batch of whole rows.</summary>
    public void Forward(TokenBatch batch, Activations acts)
    {
        bool learned = Config.Position == Position.Learned;
        _ops.Embedding(batch.Tokens, Weights.Tokens, learned ? batch.Positions : Tensor.None, Weights.Positions, acts.Embedded);
        for (int layer = 0; layer < Config.Layers; layer++)
            _block.Forward(Weights.Blocks[layer], acts.Blocks[layer], acts.Stream(layer), batch, acts.Scratch);
        _block.Normalize(acts.Stream(Config.Layers), Weights.FinalNorm, Weights.FinalNormBias, acts.Hidden, acts.FinalStats);
    }

    /// <summary>Adds the gradient of every parameter, given that of <see cref="Activations.Hidden"/>.</summary>
    /// <param name="dHidden">[B·T, C].</param>
    public void Backward(Tensor dHidden, TokenBatch batch, Activations acts, Weights gradients)
    {
        Scratch s = acts.Scratch;
        _ops.Fill(s.DStream, 0f);
        _block.NormalizeBackward(dHidden, acts.Stream(Config.Layers), Weights.FinalNorm, acts.FinalStats, s.DStream, gradients.FinalNorm, gradients.FinalNormBias);
        for (int layer = Config.Layers - 1; layer >= 0; layer--)
            _block.Backward(Weights.Blocks[layer], gradients.Blocks[layer], acts.Blocks[layer], acts.Stream(layer), batch, s);
        bool learned = Config.Position == Position.Learned;
        _ops.EmbeddingBackward(s.DStream, batch.Tokens, learned ? batch.Positions : Tensor.None, gradients.Tokens, gradients.Positions);
    }

    /// <summary>
    /// Runs S new tokens of each row against the cache and writes their keys and values behind the row's length, which
    /// the caller then advances (<see cref="Ops.Advance"/>), or not: sibling candidates are dropped or kept one by one.
    /// </summary>
    /// <param name="counts">[R] I32, how many of the S tokens are real, or None for all.</param>
    /// <param name="buffers">Holds the tokens on entry and the hidden states [R·S, C] on return.</param>
    public void Extend(Tensor counts, KvCache cache, CacheLayout layout, StepBuffers buffers)
    {
        _ops.CachePositions(cache.Prompts?.Lengths ?? Tensor.None, cache.PromptOf, cache.Lengths, layout, buffers.Positions);
        bool learned = Config.Position == Position.Learned;
        _ops.Embedding(buffers.Tokens, Weights.Tokens, learned ? buffers.Positions : Tensor.None, Weights.Positions, buffers.Stream);
        for (int layer = 0; layer < Config.Layers; layer++)
        {
            _block.Extend(Weights.Blocks[layer], buffers.Stream, counts, cache, layer, layout, buffers);
            if (layer + 1 == buffers.StateLayer) _ops.Copy(buffers.Stream, buffers.LayerStates);
        }
        _block.Normalize(buffers.Stream, Weights.FinalNorm, Weights.FinalNormBias, buffers.Hidden, buffers.Stats);
    }

    /// <summary>Keeps the drawn sibling's keys and values of every layer and drops the others.</summary>
    /// <param name="chosen">[R] I32, index among the siblings, negative for none.</param>
    public void KeepSibling(KvCache cache, Tensor chosen)
    {
        for (int layer = 0; layer < Config.Layers; layer++)
            _ops.KvKeep(cache.Keys(layer), cache.Values(layer), cache.Lengths, chosen);
    }

    public void Dispose() => _frequencyMemory?.Dispose();
}
