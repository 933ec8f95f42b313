using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>One case for each rule that is listed; the first shape of the plain one is timed.</summary>
internal sealed class TiltedSampleCase(string suffix, GuidanceRule rule) : OpCase
{
    private const ulong Key = 0xFEDCBA9876543210;

    public override string Name => "tilted_sample" + suffix;

    public override IReadOnlyList<string> Kernels => KernelsOf(rule);

    // B, V, K. Weights change nothing that a large vocabulary would show.
    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        .. Large(rule, new("decode step", 8, 32000, 20)), new("odd", 17, 257, 17), new("small", 65, 3, 1), new("all tokens", 33, 17, 17),
        .. Large(rule, new("large vocabulary", 1, 151936, 20)), new("one", 1, 1, 1), new("empty", 0, 8, 2),
    ];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("refLogits", (s[0], s[1])) { Draw = (ref PhiloxStream random, int index) => Reference(ref random, index, s) },
        new("candidates", (s[0], s[2]), DType.I32) { Draw = Draws.Fixed(index => Candidate(index / s[2], index % s[2], s)) },
        new("valueLogits", (s[0], s[2], rule.Family.Atoms)) { Draw = Draws.Normal(2) },
        new("prefixTilt", s[0]) { Draw = (ref PhiloxStream random, int index) => index % 4 == 3 ? double.NaN
            : (rule.Tilt == Tilt.Weighted ? 1 : rule.Lambda) * random.NextUniform() },
        new("streams", s[0], DType.I32) { Draw = Draws.Fixed(row => row) },
        new("positions", s[0], DType.I32) { Draw = Draws.Integer(0, 4000) },
        .. WeightTables.Operand(rule.Tilt, rule.Family, s[0]),
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) =>
        [new("next", s[0], DType.I32), new("chosen", s[0], DType.I32), new("statistics", (s[0], SampleStatistics.Count))];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.TiltedSample(
            inputs[0], inputs[1], inputs[2], WeightTables.Of(inputs, 6), inputs[3], inputs[4], inputs[5], rule, Key, outputs[0], outputs[1],
            outputs[2]);

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        GuidedStep[] steps = [.. inputs[0].Chunk(s[1]).Select((logits, b) => GuidedStep.Of(
            rule, logits, [.. inputs[1][(b * s[2])..((b + 1) * s[2])].Select(id => (int)id)],
            [.. inputs[2][(b * s[2] * rule.Family.Atoms)..((b + 1) * s[2] * rule.Family.Atoms)].Chunk(rule.Family.Atoms)],
            inputs[3][b], Key, (int)inputs[4][b], (int)inputs[5][b], WeightTables.Row(inputs, 6, rule.Family, b)))];
        return
        [
            [.. steps.Select(step => (double)step.Next)], [.. steps.Select(step => (double)step.Chosen)],
            [.. steps.SelectMany(step => step.Statistics)],
        ];
    }

    // One read of the logits; exp, noise and two logarithms a token.
    public override Cost Cost(CaseShape s) => new(4L * s[0] * (s[1] + s[2] * (rule.Family.Atoms + 1)), 30L * s[0] * s[1]);

    internal static IReadOnlyList<string> KernelsOf(GuidanceRule rule) =>
        rule.TopP < 1 ? ["tilted_chunks", "tilted_nucleus", "tilted_sample"] : ["tilted_chunks", "tilted_sample"];

    private static CaseShape[] Large(GuidanceRule rule, CaseShape shape) => rule.Tilt == Tilt.Weighted ? [] : [shape];

    /// <summary>One logit in nine is masked; candidates are likely, so that they and others are both drawn.</summary>
    private static double Reference(ref PhiloxStream random, int index, CaseShape s)
    {
        double value = 50 + 2 * random.NextNormal();
        int row = index / s[1], token = index % s[1];
        for (int k = 0; k < s[2]; k++)
            if (Candidate(row, k, s) == token) return value + Math.Log((double)s[1] / s[2]);
        return random.NextInt(9) == 0 ? double.NegativeInfinity : value;
    }

    /// <summary>K different tokens in no order.</summary>
    private static int Candidate(int row, int k, CaseShape s) => (int)((5L * row + k * Stride(s[1]) + 1) % s[1]);

    private static long Stride(int vocabulary) => vocabulary % 7919 == 0 ? 7907 : 7919;
}
