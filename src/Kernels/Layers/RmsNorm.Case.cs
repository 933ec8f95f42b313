using QSharp.Engine;

namespace QSharp.Kernels;

internal sealed class RmsNormCase : OpCase
{
    internal const float Epsilon = 1e-5f;

    public override string Name => "rms_norm";

    public override IReadOnlyList<string> Kernels => ["rms_norm", "add_column_sums"];

    public override bool HasActivations => true;

    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("training step", 2048, 128), new("odd", 3, 17), new("one", 1, 1), new("long row", 1, 257),
        new("odd rows", 257, 40), new("wide rows", 3, 1024), new("very wide, odd", 2, 8203), new("sums of 48 KiB", 1, 12288), new("empty", 0, 8),
    ];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("x", (s[0], s[1]), Activations) { Gradient = Gradient.Added, Draw = Draws.Normal(2) },
        new("weight", s[1]) { Gradient = Gradient.Added },
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) => [new("y", (s[0], s[1]), Activations) { IsDifferentiable = true }, new("stats", s[0])];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.RmsNorm(inputs[0], inputs[1], Epsilon, outputs[0], outputs[1]);

    public override void RunBackward(
        Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs,
        ReadOnlySpan<Tensor> outputGradients, ReadOnlySpan<Tensor> inputGradients) =>
        ops.RmsNormBackward(outputGradients[0], inputs[0], inputs[1], outputs[1], inputGradients[0], inputGradients[1]);

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        double[] y = new double[s[0] * s[1]], stats = new double[s[0]];
        for (int n = 0; n < s[0]; n++)
        {
            double[] x = inputs[0][(n * s[1])..((n + 1) * s[1])];
            stats[n] = 1 / Math.Sqrt(x.Average(v => v * v) + Epsilon);
            for (int c = 0; c < s[1]; c++) y[n * s[1] + c] = x[c] * stats[n] * inputs[1][c];
        }
        return [y, stats];
    }

    public override Cost Cost(CaseShape s) => new(2L * Activations.Size() * s[0] * s[1] + 4L * s[1] + 4L * s[0], 4L * s[0] * s[1]);
}
