using QSharp.Engine;

namespace QSharp.Kernels;

internal sealed class TokenAtomsCase : OpCase
{
    public override string Name => "token_atoms";

    // B, V, A, W.
    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("decode step", 32, 1000, 11, 128), new("odd", 3, 129, 5, 128), new("one tile", 7, 67, 51, 67), new("one", 1, 1, 1, 1),
        new("empty", 0, 8, 2, 128),
    ];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        TileCase.Logits(s[0], s[1], s[3], Family(s), 1), TileCase.Bias(s[0], Family(s)),
        new("tokens", s[0], DType.I32) { Draw = Draws.Integer(0, s[1]) },
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) => [new("y", (s[0], s[2]))];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.TokenAtoms(inputs[0], inputs[1], inputs[2], outputs[0]);

    public override double[][] Oracle(CaseShape s, double[][] inputs) =>
        [[.. Enumerable.Range(0, s[0]).SelectMany(row => TileCase.Tokens(inputs[0], inputs[1], s[0], row, s[1], s[3], Family(s))[(int)inputs[2][row]])]];

    public override Cost Cost(CaseShape s) => new(12L * s[0] * s[2], s[0] * s[2]);

    private static ReturnFamily Family(CaseShape s) => new(FamilyKind.Categorical, 0, 1, s[2]);
}
