using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>Sizes: elements, 1000 · maxNorm (0: +∞), and the kind of values (0 normal, 1 all zero, 2 with a NaN).</summary>
internal sealed class GlobalNormCase : OpCase
{
    public override string Name => "global_norm";

    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("a model", 500_000, 1000, 0), new("odd, clipped", 257, 500, 0), new("odd, not clipped", 17, 100_000, 0), new("one", 1, 0, 0),
        new("zeros", 3, 1000, 1), new("not finite", 100, 1000, 2), new("empty", 0, 1000, 0),
    ];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("x", s[0])
        {
            Draw = (ref PhiloxStream random, int index) =>
                s[2] switch { 0 => random.NextNormal(), 1 => 0, _ => index == 70 ? double.NaN : 1 },
        },
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) => [new("result", 2)];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.GlobalNorm(inputs[0], MaxNorm(s), outputs[0]);

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        double norm = Math.Sqrt(inputs[0].Sum(x => x * x));
        return [[norm, double.IsNaN(norm) ? 0 : norm == 0 ? 1 : Math.Min(1, MaxNorm(s) / norm)]];
    }

    public override Cost Cost(CaseShape s) => new(4L * s[0], 2L * s[0]);

    private static float MaxNorm(CaseShape s) => s[1] == 0 ? float.PositiveInfinity : s[1] / 1000f;
}
