using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>What a guided step reads.</summary>
/// <param name="RefLogits">[B, V].</param>
/// <param name="Candidates">[B, K] I32; None when unguided, or when the guide has scored every token.</param>
/// <param name="ValueLogits">[B, K, A], or [B, n, A, W] of every token (<see cref="TokenTiles"/>); None when unguided.</param>
/// <param name="PrefixTilt">[B]: ln W of the prefix, NaN where not known; or None.</param>
/// <param name="Streams">[B] I32: each row's stream of random numbers.</param>
/// <param name="Positions">[B] I32: index of the token to be drawn.</param>
/// <param name="Weights">[B, R] or [1, R]: log-weights of the returns for a weighted tilt; else None.</param>
public readonly record struct GuidanceInputs(
    Tensor RefLogits, Tensor Candidates, Tensor ValueLogits, Tensor PrefixTilt, Tensor Streams, Tensor Positions, Tensor Weights = default)
{
    /// <summary>[B, A], added to the value logits of every token; or None.</summary>
    public Tensor ValueBias { get; init; }

    /// <summary>Whether the value logits speak of every token.</summary>
    public bool IsFull => Candidates.IsNone && !ValueLogits.IsNone;
}

/// <summary>What a guided step writes.</summary>
/// <param name="Next">[B] I32.</param>
/// <param name="Chosen">[B] I32: index of the drawn token among the candidates, −1 if it is none of them; not written where every token is scored.</param>
/// <param name="Statistics">[B, <see cref="SampleStatistics.Count"/>].</param>
public readonly record struct GuidanceOutputs(Tensor Next, Tensor Chosen, Tensor Statistics);

/// <summary>
/// Draws the next token of every row from π(y|x) ∝ π_ref(y|x) · exp(tilt). Noise is a pure function of (key, stream,
/// position, token), so every implementation draws the same tokens.
/// </summary>
public abstract class Guidance : IDisposable
{
    public abstract void Sample(in GuidanceInputs inputs, GuidanceRule rule, ulong key, in GuidanceOutputs outputs);

    public virtual void Dispose() => GC.SuppressFinalize(this);
}

/// <summary>One op, no [B, V] intermediate, but for scores of every token that top-p cuts after the tilt.</summary>
public sealed class FusedGuidance(Ops ops) : Guidance
{
    private Tensor _orders;
    private DeviceBuffer? _memory;

    public override void Sample(in GuidanceInputs inputs, GuidanceRule rule, ulong key, in GuidanceOutputs outputs)
    {
        if (inputs.IsFull)
            ops.FullTiltedSample(
                inputs.RefLogits, inputs.ValueLogits, inputs.ValueBias, inputs.Weights, inputs.PrefixTilt, inputs.Streams, inputs.Positions,
                rule, key, rule.CutsTilted ? Orders(inputs.RefLogits.Shape) : Tensor.None, outputs.Next, outputs.Statistics);
        else
            ops.TiltedSample(
                inputs.RefLogits, inputs.Candidates, inputs.ValueLogits, inputs.Weights, inputs.PrefixTilt, inputs.Streams, inputs.Positions,
                rule, key, outputs.Next, outputs.Chosen, outputs.Statistics);
    }

    public override void Dispose()
    {
        _memory?.Dispose();
        base.Dispose();
    }

    /// <summary>Memory for the shape at hand, made at the first step and again only when it changes.</summary>
    private Tensor Orders(Shape shape)
    {
        if (!_orders.IsNone && _orders.Shape == shape) return _orders;
        _memory?.Dispose();
        return _orders = Renew(shape);
    }

    /// <summary>Apart from <see cref="Orders"/>, whose every call would otherwise make this one's closure.</summary>
    private Tensor Renew(Shape shape)
    {
        (Tensor orders, _memory) = Arena.Build(ops.Device, arena => arena.Take(shape));
        return orders;
    }
}
