using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>Sizes: rows, tokens a row, layout, and prompts, 0 for none.</summary>
internal sealed class CachePositionsCase : OpCase
{
    public override string Name => "cache_positions";

    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("prefill", 64, 17, (int)CacheLayout.Sequence, 0), new("prompt", 3, 5, (int)CacheLayout.Prompt, 0),
        new("siblings", 17, 3, (int)CacheLayout.Siblings, 3), new("decode step", 257, 1, 0, 17),
        new("one", 1, 1, 0, 1), new("empty", 0, 4, 0, 0),
    ];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("lengths", s[0], DType.I32) { Draw = Draws.Integer(0, 100) },
        new("promptLengths", s[3], DType.I32) { Draw = Draws.Integer(0, 100) },
        new("promptOf", s[0], DType.I32) { Draw = Draws.Integer(0, Math.Max(1, s[3])) },
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) => [new("positions", (s[0], s[1]), DType.I32)];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.CachePositions(
            s[3] == 0 ? Tensor.None : inputs[1], s[3] == 0 ? Tensor.None : inputs[2], inputs[0], (CacheLayout)s[2], outputs[0]);

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        double[] positions = new double[s[0] * s[1]];
        for (int i = 0; i < positions.Length; i++)
            positions[i] = inputs[0][i / s[1]] + (s[3] == 0 ? 0 : inputs[1][(int)inputs[2][i / s[1]]])
                + ((CacheLayout)s[2] == CacheLayout.Siblings ? 0 : i % s[1]);
        return [positions];
    }

    public override Cost Cost(CaseShape s) => new(4L * s[0] * (s[1] + 1), 0);
}
