using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>Draws a uniformly random one of the K likeliest tokens, whatever the rule says. Its statistics are all 0.</summary>
public sealed class UniformGuidance(Ops ops, int candidates) : Guidance
{
    private DeviceBuffer? _memory;
    private Tensor _ids, _zeros, _others, _blank, _scores;

    public override void Sample(in GuidanceInputs inputs, GuidanceRule rule, ulong key, in GuidanceOutputs outputs)
    {
        (int rows, int vocabulary) = (inputs.RefLogits.Shape.D0, inputs.RefLogits.Shape.D1);
        if (_memory is null || _scores.Shape != (rows, vocabulary)) Renew(rows, vocabulary);
        ops.TopK(inputs.RefLogits, _ids, Tensor.None);
        ops.Scatter(_blank, _ids, _zeros, _others, _scores);
        ops.SampleRow(_scores, inputs.Streams, inputs.Positions, key, outputs.Next);
        ops.Fill(outputs.Chosen, -1);
        ops.Fill(outputs.Statistics, 0f);
    }

    public override void Dispose()
    {
        _memory?.Dispose();
        base.Dispose();
    }

    private void Renew(int rows, int vocabulary)
    {
        _memory?.Dispose();
        int k = Math.Min(candidates, vocabulary);
        ((_ids, _zeros, _others, _blank, _scores), _memory) = Arena.Build(ops.Device, arena => (
            arena.Take((rows, k), DType.I32), arena.Take((rows, k)), arena.Take(rows), arena.Take((rows, vocabulary)), arena.Take((rows, vocabulary))));
        ops.Fill(_others, float.NegativeInfinity);
    }
}
