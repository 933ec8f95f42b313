using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>ln of drawn tokens under π_ref at another temperature than they were drawn at.</summary>
internal sealed class OriginLogProbs : IDisposable
{
    private readonly Ops _ops;
    private readonly DeviceBuffer _memory;
    private readonly Tensor _scaled, _logProbs, _sums;
    private readonly float[] _host;

    /// <param name="logits">[R, V], whose shape counts.</param>
    public OriginLogProbs(Ops ops, Tensor logits)
    {
        _ops = ops;
        int rows = logits.Shape.D0;
        ((_scaled, _logProbs, _sums), _memory) = Arena.Build(ops.Device, arena => (arena.Take(logits.Shape), arena.Take(rows), arena.Take(rows)));
        _host = new float[rows];
    }

    /// <summary>[R]; gone with the next call.</summary>
    public ReadOnlySpan<float> Of(Tensor logits, Tensor tokens, float temperature)
    {
        _ops.LogSoftmax(logits, temperature, _scaled);
        _ops.LogProbs(_scaled, tokens, _logProbs, _sums);
        _ops.Device.Download<float>(_logProbs, _host);
        return _host;
    }

    public void Dispose() => _memory.Dispose();
}
