using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>ln of drawn tokens under π_ref at another temperature and top-p than they were drawn at.</summary>
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

    /// <summary>[R], −∞ for a token outside of the top-p set; gone with the next call.</summary>
    /// <param name="origin">Of which temperature, positive, and top-p are read.</param>
    public ReadOnlySpan<float> Of(Tensor logits, Tensor tokens, GuidanceRule origin)
    {
        _ops.TopP(logits, origin.Temperature, origin.TopP, _scaled, Tensor.None);
        _ops.LogSoftmax(_scaled, origin.Temperature, _scaled);
        _ops.LogProbs(_scaled, tokens, _logProbs, _sums);
        _ops.Device.Download<float>(_logProbs, _host);
        return _host;
    }

    public void Dispose() => _memory.Dispose();
}
