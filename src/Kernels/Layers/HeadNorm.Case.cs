using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>Sizes: N rows, H query heads, G key-value heads, D.</summary>
internal sealed class HeadNormCase : OpCase
{
    private const float Epsilon = 1e-6f;

    public override string Name => "head_norm";

    public override IReadOnlyList<string> Kernels => ["head_norm", "add_column_sums"];

    public override bool HasActivations => true;

    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("training step", 257, 4, 2, 32), new("wide heads", 17, 6, 3, 128), new("odd", 3, 3, 1, 17), new("one", 1, 1, 1, 1),
        new("several blocks and a rest", 33, 2, 2, 40), new("small heads", 65, 8, 4, 6), new("very wide heads", 2, 2, 1, 160), new("empty", 0, 2, 1, 8),
    ];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("qkv", (s[0], (s[1] + 2 * s[2]) * s[3]), Activations) { Gradient = Gradient.Written, Draw = Draws.Normal(2) },
        new("queryWeight", s[3]) { Gradient = Gradient.Added },
        new("keyWeight", s[3]) { Gradient = Gradient.Added },
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) =>
        [new("y", (s[0], (s[1] + 2 * s[2]) * s[3]), Activations) { IsDifferentiable = true }, new("rstd", (s[0], s[1] + s[2]))];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.HeadNorm(inputs[0], inputs[1], inputs[2], s[1], s[2], Epsilon, outputs[0], outputs[1]);

    public override void RunBackward(
        Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs,
        ReadOnlySpan<Tensor> outputGradients, ReadOnlySpan<Tensor> inputGradients) =>
        ops.HeadNormBackward(
            outputGradients[0], inputs[0], inputs[1], inputs[2], outputs[1], s[1], s[2],
            inputGradients[0], inputGradients[1], inputGradients[2]);

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        int heads = s[1], normed = s[1] + s[2], dim = s[3], width = (s[1] + 2 * s[2]) * dim;
        double[] y = [.. inputs[0]], rstd = new double[s[0] * normed];
        for (int n = 0; n < s[0]; n++)
            for (int head = 0; head < normed; head++)
            {
                int first = n * width + head * dim;
                double scale = 1 / Math.Sqrt(inputs[0][first..(first + dim)].Average(v => v * v) + Epsilon);
                rstd[n * normed + head] = scale;
                for (int d = 0; d < dim; d++) y[first + d] *= scale * inputs[head < heads ? 1 : 2][d];
            }
        return [y, rstd];
    }

    public override Cost Cost(CaseShape s) =>
        new(2L * Activations.Size() * s[0] * (s[1] + 2 * s[2]) * s[3] + 4L * s[0] * (s[1] + s[2]), 4L * s[0] * (s[1] + s[2]) * s[3]);
}
