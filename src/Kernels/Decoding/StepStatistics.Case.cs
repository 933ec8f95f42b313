using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>Two random laws stand for π and q: the op's arithmetic does not ask where they come from.</summary>
internal sealed class StepStatisticsCase(string suffix, GuidanceRule rule) : OpCase
{
    public override string Name => "step_statistics" + suffix;

    // B, V, K.
    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("decode step", 8, 32000, 20), new("odd", 17, 257, 17), new("all tokens", 3, 17, 17), new("one", 1, 1, 1),
        new("empty", 0, 8, 2),
    ];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("logPolicy", (s[0], s[1])) { Draw = (ref PhiloxStream random, int index) => Log(ref random, index % s[1] % 4 == 3, s) },
        new("logReference", (s[0], s[1])) { Draw = (ref PhiloxStream random, int index) => Log(ref random, index % s[1] % 12 == 11, s) },
        new("logMass", s[0]) { Draw = Draws.Uniform(-0.1, 0) },
        new("next", s[0], DType.I32) { Draw = Draws.Fixed(row => row % 2 == 0 ? 4 * row % s[1] / 4 * 4 : 0) },
        new("candidates", (s[0], s[2]), DType.I32) { Draw = Draws.Fixed(index => (4 * (index / s[2]) + (index % s[2]) * 7919L) % s[1]) },
        new("valueLogits", (s[0], s[2], rule.Family.Atoms)),
        new("g", (s[0], s[2])),
        new("gOutside", s[0]),
        new("residual", s[0]) { Draw = (ref PhiloxStream random, int row) => rule.Tilt == Tilt.Weighted && row % 3 == 1 ? double.NaN : random.NextNormal() },
        .. WeightTables.Operand(rule.Tilt, rule.Family, s[0]),
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) =>
        [new("chosen", s[0], DType.I32), new("statistics", (s[0], SampleStatistics.Count))];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.StepStatistics(
            inputs[0], inputs[1], inputs[2], inputs[3], rule, inputs[4], inputs[5], WeightTables.Of(inputs, 9), inputs[6], inputs[7], inputs[8],
            outputs[0], outputs[1]);

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        List<double> chosen = [], statistics = [];
        for (int b = 0; b < s[0]; b++)
        {
            double[] p = inputs[0][(b * s[1])..((b + 1) * s[1])], q = inputs[1][(b * s[1])..((b + 1) * s[1])];
            int next = (int)inputs[3][b], slot = Array.IndexOf(inputs[4], next, b * s[2], s[2]) - b * s[2];
            slot = Math.Max(slot, -1);
            bool restricts = rule.IsGuided && rule.Order == Order.TiltThenTemper;
            double support = restricts ? Math.Log(q.Where((_, i) => !double.IsNegativeInfinity(p[i])).Sum(Math.Exp)) : 0;
            double kl = p.Zip(q, (a, c) => double.IsNegativeInfinity(a) ? 0 : Math.Exp(a) * (a - c)).Sum() + support;
            double tilt = !rule.IsGuided ? 0 : slot >= 0 ? inputs[6][b * s[2] + slot] : inputs[7][b];
            int first = (b * s[2] + Math.Max(slot, 0)) * rule.Family.Atoms;
            (double mean, double variance) = rule.IsGuided && slot >= 0
                ? SamplingOracle.Moments(
                    inputs[5][first..(first + rule.Family.Atoms)], rule.Family, rule.Lambda, WeightTables.Row(inputs, 9, rule.Family, b))
                : (0, 0);
            chosen.Add(slot);
            statistics.AddRange([
                p[next], q[next] - support, Math.Max(kl, 0), -support - inputs[2][b],
                q[next] - support - p[next] + tilt / (restricts ? rule.Temperature : 1),
                rule.IsGuided ? inputs[8][b] : 0, rule.IsGuided && double.IsNaN(inputs[8][b]) ? double.NaN : tilt, mean, variance,
            ]);
        }
        return [[.. chosen], [.. statistics]];
    }

    public override Cost Cost(CaseShape s) => new(8L * s[0] * s[1], 20L * s[0] * s[1]);

    private static double Log(ref PhiloxStream random, bool isMasked, CaseShape s)
    {
        double value = Math.Log((0.5 + random.NextUniform()) / s[1]);
        return isMasked ? double.NegativeInfinity : value;
    }
}
