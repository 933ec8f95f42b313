using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// A Q-type head for every token at once: a copy of its rows in the order of <see cref="TokenTiles"/>, made once, so that one
/// product a step leaves the value logits as the fused tilt reads them. It takes the head's memory a second time.
/// </summary>
internal sealed class TiledHead : IDisposable
{
    private readonly Ops _ops;
    private readonly Tensor _weight, _bias, _outputs, _logits;
    private readonly DeviceBuffer _memory;

    /// <param name="rows">R.</param>
    /// <param name="vocabulary">Tokens scored, the first of the head's.</param>
    public TiledHead(ValueModel guide, int rows, int vocabulary)
    {
        _ops = guide.Ops;
        int atoms = guide.Settings.Family.Atoms, tiles = TokenTiles.CountOf(vocabulary);
        Tensor head = guide.Weights.Head, bias = guide.Weights.HeadBias;
        int[] order = Order(tiles, atoms, vocabulary);
        ((_weight, _bias, _outputs), _memory) = Arena.Build(_ops.Device, arena => (
            arena.Take((order.Length, head.Shape.D1), head.DType), bias.IsNone ? Tensor.None : arena.Take(order.Length), arena.Take((rows, order.Length))));
        _logits = _outputs.As((rows, tiles, atoms, TokenTiles.Tokens));
        try
        {
            (Tensor places, DeviceBuffer memory) = Arena.Build(_ops.Device, arena => arena.Take(order.Length, DType.I32));
            using (memory)
            {
                _ops.Device.Upload<int>(order, places);
                _ops.Gather(head, places, _weight);
                if (!bias.IsNone) _ops.Gather(bias, places, _bias);
                _ops.Device.Synchronize();   // before their places go
            }
        }
        catch
        {
            _memory.Dispose();
            throw;
        }
    }

    /// <param name="hidden">[R, C].</param>
    public TokenLogits Forward(Tensor hidden)
    {
        _ops.MatMul(hidden, _weight, _bias, _outputs);
        return new TokenLogits(_logits, Tensor.None);
    }

    public void Dispose() => _memory.Dispose();

    /// <summary>The head's row (token · A + atom) of each place; past the vocabulary the last token's, which nothing reads.</summary>
    private static int[] Order(int tiles, int atoms, int vocabulary)
    {
        int[] order = new int[checked(tiles * atoms * TokenTiles.Tokens)];
        for (int i = 0; i < order.Length; i++)
        {
            int token = i / (atoms * TokenTiles.Tokens) * TokenTiles.Tokens + i % TokenTiles.Tokens;
            order[i] = Math.Min(token, vocabulary - 1) * atoms + i / TokenTiles.Tokens % atoms;
        }
        return order;
    }
}
