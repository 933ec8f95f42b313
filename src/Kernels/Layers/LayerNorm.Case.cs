using QSharp.Engine;

namespace QSharp.Kernels;

internal sealed class LayerNormCase : OpCase
{
    internal const float Epsilon = 1e-5f;

    public override string Name => "layer_norm";

    public override IReadOnlyList<string> Kernels => ["layer_norm", "add_column_sums"];

    public override bool HasActivations => true;

    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("training step", 2048, 128), new("odd", 3, 17), new("one", 1, 1), new("long row", 1, 257),
        new("odd rows", 257, 40), new("wide rows", 3, 1024), new("sums of 48 KiB", 1, 6144), new("very wide, odd", 2, 8203), new("empty", 0, 8),
    ];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        // Away from 0, so that a variance by Σx² − μ² would show.
        new("x", (s[0], s[1]), Activations) { Gradient = Gradient.Added, Draw = (ref PhiloxStream random, int _) => 3 + 2 * random.NextNormal() },
        new("weight", s[1]) { Gradient = Gradient.Added },
        new("bias", s[1]) { Gradient = Gradient.Added },
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) =>
        [new("y", (s[0], s[1]), Activations) { IsDifferentiable = true }, new("stats", (s[0], 2))];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.LayerNorm(inputs[0], inputs[1], inputs[2], Epsilon, outputs[0], outputs[1]);

    public override void RunBackward(
        Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs,
        ReadOnlySpan<Tensor> outputGradients, ReadOnlySpan<Tensor> inputGradients) =>
        ops.LayerNormBackward(outputGradients[0], inputs[0], inputs[1], outputs[1],
            inputGradients[0], inputGradients[1], inputGradients[2]);

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        double[] y = new double[s[0] * s[1]], stats = new double[s[0] * 2];
        for (int n = 0; n < s[0]; n++)
        {
            double[] x = inputs[0][(n * s[1])..((n + 1) * s[1])];
            double mean = x.Average(), scale = 1 / Math.Sqrt(x.Average(v => (v - mean) * (v - mean)) + Epsilon);
            (stats[2 * n], stats[2 * n + 1]) = (mean, scale);
            for (int c = 0; c < s[1]; c++) y[n * s[1] + c] = (x[c] - mean) * scale * inputs[1][c] + inputs[2][c];
        }
        return [y, stats];
    }

    public override Cost Cost(CaseShape s) => new(2L * Activations.Size() * s[0] * s[1] + 8L * s[1] + 8L * s[0], 8L * s[0] * s[1]);
}
