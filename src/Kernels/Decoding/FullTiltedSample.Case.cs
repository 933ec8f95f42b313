using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>One case for each rule that is listed; the first shape of the plain one is timed.</summary>
internal sealed class FullTiltedSampleCase(string suffix, GuidanceRule rule) : OpCase
{
    private const ulong Key = 0xFEDCBA9876543210;

    public override string Name => "full_tilted_sample" + suffix;

    // An unguided rule is tilted_sample's.
    public override IReadOnlyList<string> Kernels => rule.IsGuided ? ["full_tilted_sample"] : TiltedSampleCase.KernelsOf(rule);

    // B, V, W. The first goes over two chunks of the kernel.
    public override IReadOnlyList<CaseShape> Shapes =>
    [
        .. rule.Family.Atoms > 20 ? (CaseShape[])[] : [new("decode step", 2, 4360, 128)],
        new("odd", 7, 129, 128), new("less than a tile", 9, 127, 128), new("one tile", 5, 67, 67), new("one", 1, 1, 1), new("empty", 0, 8, 128),
        .. suffix.Length > 0 ? (CaseShape[])[] : [new("GPT-2's vocabulary", 1, 50257, 128)],
    ];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("refLogits", (s[0], s[1])) { Draw = (ref PhiloxStream random, int index) => s[1] > 1 && random.NextInt(9) == 0
            ? double.NegativeInfinity : 50 + 2 * random.NextNormal() },
        TileCase.Logits(s[0], s[1], s[2], rule.Family, 2),
        TileCase.Bias(s[0], rule.Family),
        new("prefixTilt", s[0]) { Draw = (ref PhiloxStream random, int index) => index % 4 == 3 ? double.NaN : (rule.Tilt == Tilt.Weighted ? 1 : rule.Lambda) * random.NextUniform() },
        new("streams", s[0], DType.I32) { Draw = Draws.Fixed(row => row) },
        new("positions", s[0], DType.I32) { Draw = Draws.Integer(0, 4000) },
        .. WeightTables.Operand(rule.Tilt, rule.Family, s[0]),
    ];

    // Without the set of tilted scores the scratch is not touched, so it is no output to be checked.
    public override IReadOnlyList<Operand> Outputs(CaseShape s) =>
        [new("next", s[0], DType.I32), new("statistics", (s[0], SampleStatistics.Count)), .. Orders(s)];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.FullTiltedSample(
            inputs[0], inputs[1], inputs[2], WeightTables.Of(inputs, 6), inputs[3], inputs[4], inputs[5], rule, Key, rule.CutsTilted ? outputs[2] : Tensor.None,
            outputs[0], outputs[1]);

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        int[] tokens = [.. Enumerable.Range(0, s[1])];
        double[][][] values = [.. Enumerable.Range(0, s[0]).Select(b => TileCase.Tokens(inputs[1], inputs[2], s[0], b, s[1], s[2], rule.Family))];
        double[][] logits = [.. inputs[0].Chunk(Math.Max(s[1], 1))];
        GuidedStep[] steps = [.. values.Select((row, b) => GuidedStep.Of(
            rule, logits[b], tokens, row, inputs[3][b], Key, (int)inputs[4][b], (int)inputs[5][b], WeightTables.Row(inputs, 6, rule.Family, b)))];
        double[] next = [.. steps.Select(step => (double)step.Next)], statistics = [.. steps.SelectMany(step => step.Statistics)];
        if (!rule.CutsTilted) return [next, statistics];
        return [next, statistics, [.. values.SelectMany((row, b) => row.Select((atoms, id) => logits[b][id] + SamplingOracle.Tilt(atoms, rule.Family, rule.Tilt, rule.Lambda)))]];
    }

    // One read of all logits; two exponentials an atom.
    public override Cost Cost(CaseShape s) =>
        new(4L * s[0] * s[1] * (rule.Family.Atoms + 1), s[0] * s[1] * (30L + 20 * rule.Family.Atoms));

    private Operand[] Orders(CaseShape s) => rule.CutsTilted ? [new("orders", (s[0], s[1]))] : [];
}
