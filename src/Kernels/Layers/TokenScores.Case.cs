using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>Sizes: prefixes, tokens a prefix, vocabulary, atoms, width.</summary>
/// <param name="table">F32 or BF16.</param>
internal sealed class TokenScoresCase(string suffix, DType table) : OpCase
{
    public override string Name => "token_scores" + suffix;

    public override IReadOnlyList<string> Kernels => ["token_scores"];

    public override bool HasActivations => true;

    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("training, taken token", 192, 1, 14, 2, 64), new("decoding, candidates", 3, 5, 17, 11, 65),
        new("one", 1, 1, 1, 1, 1), new("odd", 17, 3, 5, 1, 33), new("wider than a block", 2, 2, 3, 2, 2056), new("empty", 0, 3, 4, 2, 8),
    ];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("x", (s[0], s[3] * s[4]), Activations) { Gradient = Gradient.Written },
        new("bias", (s[0], s[3]), Activations) { Gradient = Gradient.Written },
        new("table", (s[2], s[4]), table),
        new("tokens", s[0] * s[1], DType.I32) { Draw = Draws.Integer(0, s[2]) },
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) => [new("y", (s[0] * s[1], s[3])) { IsDifferentiable = true }];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.TokenScores(inputs[0], inputs[1], inputs[2], inputs[3], outputs[0]);

    public override void RunBackward(
        Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs,
        ReadOnlySpan<Tensor> outputGradients, ReadOnlySpan<Tensor> inputGradients) =>
        ops.TokenScoresBackward(outputGradients[0], inputs[2], inputs[3], inputGradients[0], inputGradients[1]);

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        (double[] x, double[] bias, double[] rows, double[] tokens) = (inputs[0], inputs[1], inputs[2], inputs[3]);
        double[] y = new double[s[0] * s[1] * s[3]];
        for (int i = 0; i < y.Length; i++)
        {
            int m = i / s[3], row = m / s[1] * s[3] + i % s[3];
            y[i] = bias[row];
            for (int c = 0; c < s[4]; c++) y[i] += x[row * s[4] + c] * rows[(int)tokens[m] * s[4] + c];
        }
        return [y];
    }

    public override Cost Cost(CaseShape s) =>
        new((long)Activations.Size() * s[0] * s[3] * s[4] + (long)table.Size() * s[0] * s[1] * s[4] + 4L * s[0] * s[1] * s[3], 2L * s[0] * s[1] * s[3] * s[4]);
}
