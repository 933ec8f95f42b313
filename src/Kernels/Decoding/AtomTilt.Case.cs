using QSharp.Engine;

namespace QSharp.Kernels;

internal sealed class AtomTiltCase(string suffix, ReturnFamily family, Tilt tilt, float lambda) : OpCase
{
    public override string Name => "atom_tilt" + suffix;

    public override IReadOnlyList<CaseShape> Shapes { get; } =
        [new("decode step", 32, 20), new("odd", 3, 17), new("one", 1, 1), new("many", 1, 257), new("empty", 0, 20)];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
        [new("valueLogits", (s[0], s[1], family.Atoms)) { Draw = Draws.Normal(4) }];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) => [new("g", (s[0], s[1]))];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.AtomTilt(inputs[0], family, tilt, lambda, outputs[0]);

    public override double[][] Oracle(CaseShape s, double[][] inputs) =>
        [[.. inputs[0].Chunk(family.Atoms).Select(logits => SamplingOracle.Tilt(logits, family, tilt, lambda))]];

    public override Cost Cost(CaseShape s) => new(4L * s[0] * s[1] * (family.Atoms + 1), 20L * s[0] * s[1] * family.Atoms);
}
