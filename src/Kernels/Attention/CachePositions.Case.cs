using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>Sizes: rows, tokens a row, layout.</summary>
internal sealed class CachePositionsCase : OpCase
{
    public override string Name => "cache_positions";

    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("prefill", 64, 17, (int)CacheLayout.Sequence), new("prompt", 3, 5, (int)CacheLayout.Prompt),
        new("siblings", 17, 3, (int)CacheLayout.Siblings), new("one", 1, 1, 0), new("empty", 0, 4, 0),
    ];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) => [new("lengths", s[0], DType.I32) { Draw = Draws.Integer(0, 100) }];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) => [new("positions", (s[0], s[1]), DType.I32)];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.CachePositions(inputs[0], (CacheLayout)s[2], outputs[0]);

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        double[] positions = new double[s[0] * s[1]];
        for (int i = 0; i < positions.Length; i++)
            positions[i] = inputs[0][i / s[1]] + ((CacheLayout)s[2] == CacheLayout.Siblings ? 0 : i % s[1]);
        return [positions];
    }

    public override Cost Cost(CaseShape s) => new(4L * s[0] * (s[1] + 1), 0);
}
