using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// The same draw as a chain of ops, each writing its result to memory as a chain of logits processors does: the peer that
/// the fused op is measured against, and the one to read first.
/// </summary>
public sealed class NaiveGuidance(Ops ops) : Guidance
{
    private Buffers? _buffers;
    private DeviceBuffer? _memory;

    public override void Sample(in GuidanceInputs inputs, GuidanceRule rule, ulong key, in GuidanceOutputs outputs)
    {
        Buffers b = Prepare(inputs, rule.Family.Atoms);
        float temperature = rule.Temperature == 0 ? 1 : rule.Temperature;
        bool temperFirst = rule.Order == Order.TemperThenTilt || !rule.IsGuided;
        if (temperFirst)
        {
            ops.TopP(inputs.RefLogits, temperature, rule.TopP, b.Masked, b.LogMass);
            ops.LogSoftmax(b.Masked, temperature, b.LogReference);
        }
        else
        {
            ops.LogSoftmax(inputs.RefLogits, temperature, b.LogReference);
        }
        Tensor logPolicy = b.LogReference;
        if (rule.IsGuided)
        {
            Tensor untilted = temperFirst ? b.LogReference : inputs.RefLogits;
            if (inputs.IsFull)
            {
                ops.FullTilt(inputs.ValueLogits, inputs.ValueBias, rule.Family, rule.Tilt, rule.Lambda, inputs.Weights, b.Tilts);
                ops.TiltResidual(b.LogReference, b.Tilts, inputs.PrefixTilt, rule.Tilt, b.Residual);
                ops.Add(untilted, b.Tilts, b.Scores);
            }
            else
            {
                ops.AtomTilt(inputs.ValueLogits, rule.Family, rule.Tilt, rule.Lambda, inputs.Weights, b.Tilts);
                ops.OutsideTilt(b.LogReference, inputs.Candidates, b.Tilts, inputs.Weights, inputs.PrefixTilt, rule, b.OutsideTilt, b.Residual);
                ops.Scatter(untilted, inputs.Candidates, b.Tilts, b.OutsideTilt, b.Scores);
            }
            if (temperFirst)
            {
                ops.LogSoftmax(b.Scores, 1, b.LogPolicy);
            }
            else
            {
                ops.TopP(b.Scores, temperature, rule.TopP, b.Masked, Tensor.None);
                ops.LogSoftmax(b.Masked, temperature, b.LogPolicy);
            }
            logPolicy = b.LogPolicy;
        }
        if (rule.Temperature == 0) ops.TopK(logPolicy, outputs.Next.As((outputs.Next.Shape.D0, 1)), Tensor.None);
        else ops.SampleRow(logPolicy, inputs.Streams, inputs.Positions, key, outputs.Next);
        Tensor logMass = temperFirst ? b.LogMass : Tensor.None;
        if (!rule.IsGuided)
        {
            ops.StepStatistics(
                logPolicy, b.LogReference, logMass, outputs.Next, rule, Tensor.None, Tensor.None, Tensor.None, Tensor.None, Tensor.None, Tensor.None,
                outputs.Chosen, outputs.Statistics);
        }
        else if (inputs.IsFull)
        {
            // The drawn token is the one candidate that the statistics need to look up.
            ops.TokenAtoms(inputs.ValueLogits, inputs.ValueBias, outputs.Next, b.DrawnAtoms);
            ops.TokenAtoms(b.Tilts.As((b.Tilts.Shape.D0, 1, 1, b.Tilts.Shape.D1)), Tensor.None, outputs.Next, b.DrawnTilt);
            ops.StepStatistics(
                logPolicy, b.LogReference, logMass, outputs.Next, rule, outputs.Next.As(b.DrawnTilt.Shape), b.DrawnAtoms, inputs.Weights,
                b.DrawnTilt, b.OutsideTilt, b.Residual, Tensor.None, outputs.Statistics);
        }
        else
        {
            ops.StepStatistics(
                logPolicy, b.LogReference, logMass, outputs.Next, rule, inputs.Candidates, inputs.ValueLogits, inputs.Weights, b.Tilts,
                b.OutsideTilt, b.Residual, outputs.Chosen, outputs.Statistics);
        }
    }

    public override void Dispose()
    {
        _memory?.Dispose();
        base.Dispose();
    }

    /// <summary>Memory for the shapes at hand, made at the first step and again only when they change.</summary>
    private Buffers Prepare(in GuidanceInputs inputs, int atoms)
    {
        int rows = inputs.RefLogits.Shape.D0, vocabulary = inputs.RefLogits.Shape.D1;
        int tilts = inputs.IsFull ? vocabulary : inputs.Candidates.IsNone ? 1 : inputs.Candidates.Shape.D1;
        if (_buffers is { } old && old.Masked.Shape == (rows, vocabulary) && old.Tilts.Shape == (rows, tilts) && old.DrawnAtoms.Shape == (rows, atoms)) return old;
        return Renew(rows, vocabulary, tilts, atoms);
    }

    /// <summary>Apart from <see cref="Prepare"/>, whose every call would otherwise make this one's closure.</summary>
    private Buffers Renew(int rows, int vocabulary, int tilts, int atoms)
    {
        _memory?.Dispose();
        (_buffers, _memory) = Arena.Build(ops.Device, arena => new Buffers(rows, vocabulary, tilts, atoms, arena));
        return _buffers;
    }

    private sealed class Buffers(int rows, int vocabulary, int tilts, int atoms, Arena arena)
    {
        public Tensor Masked { get; } = arena.Take((rows, vocabulary));
        public Tensor LogReference { get; } = arena.Take((rows, vocabulary));
        public Tensor Scores { get; } = arena.Take((rows, vocabulary));
        public Tensor LogPolicy { get; } = arena.Take((rows, vocabulary));
        public Tensor LogMass { get; } = arena.Take(rows);
        public Tensor Tilts { get; } = arena.Take((rows, tilts));
        public Tensor OutsideTilt { get; } = arena.Take(rows);
        public Tensor Residual { get; } = arena.Take(rows);
        public Tensor DrawnAtoms { get; } = arena.Take((rows, atoms));
        public Tensor DrawnTilt { get; } = arena.Take((rows, 1));
    }
}
