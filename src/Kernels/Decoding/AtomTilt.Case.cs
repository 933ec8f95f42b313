using QSharp.Engine;

namespace QSharp.Kernels;

/// <param name="sharesWeights">Whether a weighted tilt has one table for all rows.</param>
internal sealed class AtomTiltCase(string suffix, ReturnFamily family, Tilt tilt, float lambda, bool sharesWeights = false) : OpCase
{
    public override string Name => "atom_tilt" + suffix;

    public override IReadOnlyList<CaseShape> Shapes { get; } =
        [new("decode step", 32, 20), new("odd", 3, 17), new("one", 1, 1), new("many", 1, 257), new("empty", 0, 20)];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("valueLogits", (s[0], s[1], family.Atoms)) { Draw = Draws.Normal(4) },
        .. WeightTables.Operand(tilt, family, sharesWeights ? 1 : s[0]),
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) => [new("g", (s[0], s[1]))];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.AtomTilt(inputs[0], family, tilt, lambda, WeightTables.Of(inputs, 1), outputs[0]);

    public override double[][] Oracle(CaseShape s, double[][] inputs) =>
        [[.. inputs[0].Chunk(family.Atoms).Select((logits, i) => SamplingOracle.Tilt(
            logits, family, tilt, lambda, WeightTables.Row(inputs, 1, family, sharesWeights ? 0 : i / s[1])))]];

    public override Cost Cost(CaseShape s) => new(4L * s[0] * s[1] * (family.Atoms + 1), 20L * s[0] * s[1] * family.Atoms);
}

/// <summary>The log-weights of weighted tilts in cases: the last input, and none for other tilts.</summary>
internal static class WeightTables
{
    /// <summary>One return in four has no weight.</summary>
    public static Operand[] Operand(Tilt tilt, ReturnFamily family, int rows) => tilt != Tilt.Weighted ? [] :
    [
        new("weights", (rows, family.Returns))
        {
            Draw = (ref PhiloxStream random, int _) => random.NextInt(4) == 0 ? double.NegativeInfinity : 2 * random.NextNormal(),
        },
    ];

    public static Tensor Of(ReadOnlySpan<Tensor> inputs, int index) => index < inputs.Length ? inputs[index] : Tensor.None;

    public static double[]? Row(double[][] inputs, int index, ReturnFamily family, int row) =>
        index < inputs.Length ? inputs[index][(row * family.Returns)..((row + 1) * family.Returns)] : null;
}
