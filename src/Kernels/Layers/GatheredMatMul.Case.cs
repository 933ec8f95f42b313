using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>Sizes: prefixes, tokens a prefix, vocabulary, atoms, width.</summary>
/// <param name="weights">F32 or BF16; their gradient is F32.</param>
internal sealed class GatheredMatMulCase(string suffix, DType weights) : OpCase
{
    public override string Name => "gathered_mat_mul" + suffix;

    public override bool HasActivations => true;

    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("training, taken token", 192, 1, 14, 2, 64), new("decoding, candidates", 3, 5, 17, 11, 65),
        new("one", 1, 1, 1, 1, 1), new("odd", 17, 3, 5, 1, 33), new("wider than a block", 2, 2, 3, 2, 2056), new("empty", 0, 3, 4, 2, 8),
    ];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("x", (s[0], s[4]), Activations) { Gradient = Gradient.Written },
        new("w", (s[2] * s[3], s[4]), weights) { Gradient = Gradient.Added, GradientType = DType.F32 },
        new("bias", s[2] * s[3]) { Gradient = Gradient.Added },
        new("tokens", s[0] * s[1], DType.I32) { Draw = Draws.Integer(0, s[2]) },
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) => [new("y", (s[0] * s[1], s[3])) { IsDifferentiable = true }];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.GatheredMatMul(inputs[0], inputs[1], inputs[2], inputs[3], outputs[0]);

    public override void RunBackward(
        Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs,
        ReadOnlySpan<Tensor> outputGradients, ReadOnlySpan<Tensor> inputGradients) =>
        ops.GatheredMatMulBackward(outputGradients[0], inputs[0], inputs[1], inputs[3], inputGradients[0], inputGradients[1], inputGradients[2]);

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        (double[] x, double[] w, double[] bias, double[] tokens) = (inputs[0], inputs[1], inputs[2], inputs[3]);
        double[] y = new double[s[0] * s[1] * s[3]];
        for (int i = 0; i < y.Length; i++)
        {
            int m = i / s[3], row = (int)tokens[m] * s[3] + i % s[3];
            y[i] = bias[row];
            for (int c = 0; c < s[4]; c++) y[i] += x[m / s[1] * s[4] + c] * w[row * s[4] + c];
        }
        return [y];
    }

    public override Cost Cost(CaseShape s) =>
        new((long)Activations.Size() * s[0] * s[4] + s[0] * s[1] * s[3] * ((long)weights.Size() * s[4] + 8), 2L * s[0] * s[1] * s[3] * s[4]);
}
