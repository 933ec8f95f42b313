using QSharp.Engine;

namespace QSharp.Kernels;

internal sealed class TopKCase : OpCase
{
    public override string Name => "top_k";

    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("decode step", 8, 32000, 20), new("odd", 3, 257, 17), new("one", 1, 1, 1), new("all", 2, 33, 33),
        new("large vocabulary", 1, 151936, 20), new("a short last chunk", 2, 8197, 20), new("most keys of two chunks", 1, 4100, 2048),
        new("too many for chunks", 1, 12289, 1500), new("most", 1, 4100, 4096), new("empty", 0, 8, 2),
    ];

    // Coarse values, so that ties are common; one in eight is masked.
    public override IReadOnlyList<Operand> Inputs(CaseShape s) => [new("logits", (s[0], s[1])) { Draw = CoarseOrMasked }];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) => [new("ids", (s[0], s[2]), DType.I32), new("values", (s[0], s[2]))];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.TopK(inputs[0], outputs[0], outputs[1]);

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        List<double> ids = [], values = [];
        foreach (double[] row in inputs[0].Chunk(s[1]))
        {
            int[] best = [.. Enumerable.Range(0, s[1]).OrderByDescending(i => row[i]).ThenBy(i => i).Take(s[2])];
            ids.AddRange(best.Select(i => (double)i));
            values.AddRange(best.Select(i => row[i]));
        }
        return [[.. ids], [.. values]];
    }

    public override Cost Cost(CaseShape s) => new(4L * s[0] * s[1], (long)s[0] * s[1]);

    internal static double CoarseOrMasked(ref PhiloxStream random, int index) =>
        random.NextInt(8) == 0 ? double.NegativeInfinity : Math.Round(random.NextNormal() * 8) / 4;
}
