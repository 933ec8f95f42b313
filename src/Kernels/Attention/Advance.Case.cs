using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>Sizes: R, and what is added, 0 for counts.</summary>
internal sealed class AdvanceCase : OpCase
{
    public override string Name => "advance";

    public override IReadOnlyList<CaseShape> Shapes { get; } =
        [new("decode step", 512, 1), new("counts", 17, 0), new("odd", 257, 3), new("no rows", 0, 1)];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("lengthsBefore", s[0], DType.I32) { Draw = Draws.Integer(0, 1000) },
        new("counts", s[0], DType.I32) { Draw = Draws.Integer(0, 5) },
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) => [new("lengths", s[0], DType.I32) { StartsAs = "lengthsBefore" }];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.Advance(outputs[0], s[1] == 0 ? inputs[1] : Tensor.None, s[1]);

    public override double[][] Oracle(CaseShape s, double[][] inputs) =>
        [[.. inputs[0].Select((length, r) => length + (s[1] == 0 ? inputs[1][r] : s[1]))]];

    public override Cost Cost(CaseShape s) => new(8L * s[0], 0);
}
