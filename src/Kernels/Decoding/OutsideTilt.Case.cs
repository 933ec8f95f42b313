using QSharp.Engine;

namespace QSharp.Kernels;

internal sealed class OutsideTiltCase(string suffix, GuidanceRule rule) : OpCase
{
    public override string Name => "outside_tilt" + suffix;

    // B, V, K.
    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("decode step", 8, 32000, 20), new("odd", 17, 257, 3), new("all but one", 3, 17, 16), new("all tokens", 3, 17, 17),
        new("one", 1, 1, 1), new("empty", 0, 8, 2),
    ];

    // ln q need not be normalised to be a good test, but W(x) must be near its mean: g and the prefix lie in [0.4, 0.6]·λ.
    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("logReference", (s[0], s[1])) { Draw = (ref PhiloxStream random, int index) => Math.Log((0.5 + random.NextUniform()) / s[1]) },
        new("candidates", (s[0], s[2]), DType.I32) { Draw = Draws.Fixed(index => (3 * (index / s[2]) + (index % s[2]) * 7919L) % s[1]) },
        new("g", (s[0], s[2])) { Draw = (ref PhiloxStream random, int index) => IsLost(index / s[2]) ? double.NegativeInfinity : index % s[2] == 0 && index / s[2] % 8 == 5 ? double.NaN
            : rule.Lambda * (0.4 + 0.2 * random.NextUniform()) },
        new("prefixTilt", s[0]) { Draw = (ref PhiloxStream random, int row) => row % 3 == 2 ? double.NaN
            : rule.Lambda * (0.4 + 0.2 * random.NextUniform()) },
        .. WeightTables.Operand(rule.Tilt, rule.Family, s[0]),
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) =>
        [new("tilts", (s[0], s[2])) { StartsAs = "g" }, new("gOutside", s[0]), new("residual", s[0])];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.OutsideTilt(inputs[0], inputs[1], outputs[0], WeightTables.Of(inputs, 4), inputs[3], rule, outputs[1], outputs[2]);

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        List<double> tilts = [], outside = [], residuals = [];
        for (int b = 0; b < s[0]; b++)
        {
            double[] q = [.. inputs[0][(b * s[1])..((b + 1) * s[1])].Select(Math.Exp)];
            int[] ids = [.. inputs[1][(b * s[2])..((b + 1) * s[2])].Select(id => (int)id)];
            double tail = q.Where((_, id) => !ids.Contains(id)).Sum();
            double[] g = inputs[2][(b * s[2])..((b + 1) * s[2])];
            (double tilt, double residual) = SamplingOracle.OutsideTilt(
                rule, g, [.. ids.Select(id => q[id])], tail, inputs[3][b], WeightTables.Row(inputs, 4, rule.Family, b));
            bool isLost = double.IsNaN(residual) && !Array.Exists(g, double.IsNaN);
            tilts.AddRange(isLost ? new double[g.Length] : g);
            outside.Add(tilt);
            residuals.Add(residual);
        }
        return [[.. tilts], [.. outside], [.. residuals]];
    }

    /// <summary>Rows of a weighted tilt whose candidates have no weight at all.</summary>
    private bool IsLost(int row) => rule.Tilt == Tilt.Weighted && row % 4 >= 2;

    public override Cost Cost(CaseShape s) => new(4L * s[0] * s[1], 10L * s[0] * s[1]);
}
