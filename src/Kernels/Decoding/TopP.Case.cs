using QSharp.Engine;

namespace QSharp.Kernels;

internal sealed class TopPCase(string suffix, float temperature, float topP) : OpCase
{
    public override string Name => "top_p" + suffix;

    // Next to p = 1 the cut in a large vocabulary is decided by rounding, which float64 does not share.
    public override IReadOnlyList<CaseShape> Shapes { get; } = topP is > 0.99f and < 1
        ? [new("odd", 3, 257), new("seventeen", 17, 17)]
        : [new("decode step", 8, 32000), new("odd", 3, 257), new("seventeen", 17, 17), new("one", 1, 1),
            new("large vocabulary", 1, 151936), new("empty", 0, 8)];

    // ln of a mass next to 1 is small, and keeps the absolute error of fp32 weights.
    public override double Tolerance => topP is > 0.99f and < 1 ? 1e-7 : base.Tolerance;

    // Coarse values: the cut falls into ties.
    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
        [new("scores", (s[0], s[1])) { Draw = (ref PhiloxStream random, int index) => s[1] == 1 ? 2
            : TopKCase.CoarseOrMasked(ref random, index) }];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) => [new("y", (s[0], s[1])), new("logMass", s[0])];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.TopP(inputs[0], temperature, topP, outputs[0], outputs[1]);

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        List<double> y = [], mass = [];
        foreach (double[] row in inputs[0].Chunk(s[1]))
        {
            bool[] kept = SamplingOracle.TopP(row, temperature, topP);
            y.AddRange(row.Select((score, i) => kept[i] ? score : double.NegativeInfinity));
            double[] log = SamplingOracle.LogSoftmax(row, temperature);
            mass.Add(topP >= 1 ? 0 : SamplingOracle.LogSumExp(log.Where((_, i) => kept[i])));
        }
        return [[.. y], [.. mass]];
    }

    public override Cost Cost(CaseShape s) => new(8L * s[0] * s[1], 20L * s[0] * s[1]);
}
