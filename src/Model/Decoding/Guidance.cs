using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>What a guided step reads.</summary>
/// <param name="RefLogits">[B, V].</param>
/// <param name="Candidates">[B, K] I32, or None when unguided.</param>
/// <param name="ValueLogits">[B, K, A], or None when unguided.</param>
/// <param name="PrefixTilt">[B]: ln W of the prefix, NaN where not known; or None.</param>
/// <param name="Streams">[B] I32: each row's stream of random numbers.</param>
/// <param name="Positions">[B] I32: index of the token to be drawn.</param>
public readonly record struct GuidanceInputs(
    Tensor RefLogits, Tensor Candidates, Tensor ValueLogits, Tensor PrefixTilt, Tensor Streams, Tensor Positions);

/// <summary>What a guided step writes.</summary>
/// <param name="Next">[B] I32.</param>
/// <param name="Chosen">[B] I32: index of the drawn token among the candidates, −1 if it is none of them.</param>
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

/// <summary>One kernel, no [B, V] intermediate.</summary>
public sealed class FusedGuidance(Ops ops) : Guidance
{
    public override void Sample(in GuidanceInputs inputs, GuidanceRule rule, ulong key, in GuidanceOutputs outputs) =>
        ops.TiltedSample(
            inputs.RefLogits, inputs.Candidates, inputs.ValueLogits, inputs.PrefixTilt, inputs.Streams, inputs.Positions,
            rule, key, outputs.Next, outputs.Chosen, outputs.Statistics);
}
