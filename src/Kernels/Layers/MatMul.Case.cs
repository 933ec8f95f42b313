using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>y = x·wᵀ + bias, with all three gradients where w is F32: in BF16 it is only read.</summary>
internal sealed class MatMulCase(string suffix, DType weights) : OpCase
{
    public override string Name => "mat_mul" + suffix;

    public override IReadOnlyList<string> Kernels => ["gemv", "bias", "add_column_sums"];

    /// <summary>With BF16 activations the weights are BF16 too, and have gradients.</summary>
    public override bool HasActivations => weights == DType.F32;

    private DType Weights => Activations == DType.BF16 ? DType.BF16 : weights;

    public override IReadOnlyList<CaseShape> Shapes { get; } = MatMulShapes.All;

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("x", (s[0], s[1]), Activations) { Gradient = weights == DType.F32 ? Gradient.Written : Gradient.None },
        new("w", (s[2], s[1]), Weights) { Gradient = weights == DType.F32 ? Gradient.Added : Gradient.None, GradientType = DType.F32 },
        new("bias", s[2]) { Gradient = weights == DType.F32 ? Gradient.Added : Gradient.None },
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) => [new("y", (s[0], s[2]), Activations) { IsDifferentiable = true }];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.MatMul(inputs[0], inputs[1], inputs[2], outputs[0]);

    public override void RunBackward(
        Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs,
        ReadOnlySpan<Tensor> outputGradients, ReadOnlySpan<Tensor> inputGradients) =>
        ops.MatMulBackward(outputGradients[0], inputs[0], inputs[1], inputGradients[0], inputGradients[1], inputGradients[2]);

    public override double[][] Oracle(CaseShape s, double[][] inputs) => [MatMulShapes.Product(s, inputs[0], inputs[1], inputs[2])];

    public override Cost Cost(CaseShape s) => MatMulShapes.Cost(s, Activations, Weights, Activations);
}

/// <summary>Without bias and into F32 as logits are; backward for the weights alone, as where x is the first layer's input.</summary>
internal sealed class MatMulWithoutBiasCase : OpCase
{
    public override string Name => "mat_mul_without_bias";

    public override IReadOnlyList<string> Kernels => ["gemv"];

    public override bool HasActivations => true;

    public override IReadOnlyList<CaseShape> Shapes { get; } = MatMulShapes.All;

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
        [new("x", (s[0], s[1]), Activations), new("w", (s[2], s[1]), Activations) { Gradient = Activations == DType.F32 ? Gradient.Added : Gradient.None }];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) => [new("y", (s[0], s[2])) { IsDifferentiable = true }];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.MatMul(inputs[0], inputs[1], Tensor.None, outputs[0]);

    public override void RunBackward(
        Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs,
        ReadOnlySpan<Tensor> outputGradients, ReadOnlySpan<Tensor> inputGradients) =>
        ops.MatMulBackward(outputGradients[0], inputs[0], inputs[1], Tensor.None, inputGradients[1], Tensor.None);

    public override double[][] Oracle(CaseShape s, double[][] inputs) => [MatMulShapes.Product(s, inputs[0], inputs[1], new double[s[2]])];

    public override Cost Cost(CaseShape s) => MatMulShapes.Cost(s, Activations, Activations, DType.F32);
}

/// <summary>What the cases of the product share. Sizes are N, I, O.</summary>
internal static class MatMulShapes
{
    public static IReadOnlyList<CaseShape> All { get; } =
    [
        new("training step", 1152, 64, 192),
        new("head", 1152, 64, 14),
        new("odd", 3, 17, 257),
        new("odd, tall", 257, 3, 17),
        new("odd, deep", 17, 257, 3),
        new("one row", 1, 257, 17),
        new("decoding", 1, 393, 1031),
        new("few rows", 6, 49, 70),
        new("few rows, aligned", 5, 1096, 36),
        new("siblings", 11, 300, 131),
        new("one", 1, 1, 1),
        new("one output", 65, 64, 1),
        new("a block less one", 47, 255, 47),
        new("a block", 48, 256, 48),
        new("a block and one", 49, 257, 49),
        new("two blocks of K and one", 9, 513, 33),
        new("deep weights", 513, 9, 33),
        new("no rows", 0, 8, 8),
        new("no outputs", 3, 4, 0),
        new("no inputs", 3, 0, 4),
    ];

    public static double[] Product(CaseShape s, double[] x, double[] w, double[] bias)
    {
        double[] y = new double[s[0] * s[2]];
        for (int n = 0; n < s[0]; n++)
            for (int o = 0; o < s[2]; o++)
            {
                double sum = bias[o];
                for (int i = 0; i < s[1]; i++) sum += x[n * s[1] + i] * w[o * s[1] + i];
                y[n * s[2] + o] = sum;
            }
        return y;
    }

    public static Cost Cost(CaseShape s, DType x, DType w, DType y) =>
        new((long)x.Size() * s[0] * s[1] + (long)w.Size() * s[1] * s[2] + (long)y.Size() * s[0] * s[2], 2L * s[0] * s[1] * s[2]);
}
