using QSharp.Engine;

namespace QSharp.Kernels;

internal sealed class AddLayerNormCase : OpCase
{
    private const float Epsilon = 1e-5f;

    public override string Name => "add_layer_norm";

    public override IReadOnlyList<string> Kernels => ["layer_norm"];

    public override bool HasActivations => true;

    public override IReadOnlyList<CaseShape> Shapes { get; } =
        [new("training step", 1024, 256), new("odd", 3, 17), new("one", 1, 1), new("wide, odd", 2, 2059), new("empty", 0, 8)];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("a", (s[0], s[1]), Activations), new("b", (s[0], s[1]), Activations) { Draw = Draws.Normal(2) },
        new("weight", s[1]),
        new("bias", s[1]),
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) =>
    [
        new("sum", (s[0], s[1]), Activations), new("y", (s[0], s[1]), Activations), new("stats", (s[0], 2)),
        new("in place", (s[0], s[1]), Activations) { StartsAs = "a" }, new("y of it", (s[0], s[1]), Activations), new("its stats", (s[0], 2)),
    ];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs)
    {
        ops.AddLayerNorm(inputs[0], inputs[1], inputs[2], inputs[3], Epsilon, outputs[0], outputs[1], outputs[2]);
        ops.AddLayerNorm(outputs[3], inputs[1], inputs[2], inputs[3], Epsilon, outputs[3], outputs[4], outputs[5]);
    }

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        double[] sums = [.. inputs[0].Zip(inputs[1], (a, b) => a + b)], y = new double[s[0] * s[1]], stats = new double[s[0] * 2];
        for (int n = 0; n < s[0]; n++)
        {
            double[] sum = sums[(n * s[1])..((n + 1) * s[1])];
            double mean = sum.Average(), scale = 1 / Math.Sqrt(sum.Average(v => (v - mean) * (v - mean)) + Epsilon);
            (stats[2 * n], stats[2 * n + 1]) = (mean, scale);
            for (int c = 0; c < s[1]; c++) y[n * s[1] + c] = (sum[c] - mean) * scale * inputs[2][c] + inputs[3][c];
        }
        return [sums, y, stats, sums, y, stats];
    }

    public override Cost Cost(CaseShape s) => new(4L * Activations.Size() * s[0] * s[1] + 8L * s[1] + 8L * s[0], 9L * s[0] * s[1]);
}
