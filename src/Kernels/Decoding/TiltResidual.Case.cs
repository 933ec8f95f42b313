using QSharp.Engine;

namespace QSharp.Kernels;

internal sealed class TiltResidualCase(string suffix, Tilt tilt) : OpCase
{
    public override string Name => "tilt_residual" + suffix;

    // B, V.
    public override IReadOnlyList<CaseShape> Shapes { get; } =
        [new("decode step", 8, 32000), new("odd", 17, 257), new("small", 5, 3), new("one", 1, 1), new("empty", 0, 8)];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("logReference", (s[0], s[1]))
        {
            Draw = (ref PhiloxStream random, int index) => index % s[1] % 5 == 4 ? double.NegativeInfinity
                : Math.Log((0.5 + random.NextUniform()) / s[1]),
        },
        new("g", (s[0], s[1]))
        {
            Draw = (ref PhiloxStream random, int index) => IsLost(index / s[1]) ? double.NegativeInfinity : 10 * random.NextUniform(),
        },
        new("prefixTilt", s[0]) { Draw = (ref PhiloxStream random, int row) => row % 3 == 2 ? double.NaN : 10 * random.NextUniform() },
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) => [new("tilts", (s[0], s[1])) { StartsAs = "g" }, new("residual", s[0])];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.TiltResidual(inputs[0], outputs[0], inputs[2], tilt, outputs[1]);

    public override double[][] Oracle(CaseShape s, double[][] inputs) =>
        [[.. inputs[1].Select((g, index) => IsLost(index / s[1]) ? 0 : g)], Residuals(s, inputs)];

    private double[] Residuals(CaseShape s, double[][] inputs) => [.. inputs[0].Chunk(s[1]).Select((log, b) =>
    {
        double[] g = inputs[1][(b * s[1])..((b + 1) * s[1])];
        double mean = tilt == Tilt.Mean
            ? log.Zip(g, (l, t) => Math.Exp(l) * t).Sum() / log.Sum(Math.Exp)
            : SamplingOracle.LogSumExp(log.Zip(g, (l, t) => l + t));
        return IsLost(b) ? double.NaN : double.IsNaN(inputs[2][b]) ? 0 : inputs[2][b] - mean;
    })];

    /// <summary>Rows of a weighted tilt in which no token has weight.</summary>
    private bool IsLost(int row) => tilt == Tilt.Weighted && row % 4 >= 2;

    public override Cost Cost(CaseShape s) => new(8L * s[0] * s[1], 12L * s[0] * s[1]);
}
