using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>Sizes: N rows, W columns, heads that are turned, D.</summary>
internal sealed class RopeCase : OpCase
{
    public override string Name => "rope";

    public override bool HasActivations => true;

    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("training step", 2048, 192, 6, 32), new("wide head", 17, 257, 3, 64), new("odd", 3, 17, 2, 6), new("smallest", 1, 2, 1, 2),
        new("many rows", 257, 40, 1, 20), new("many heads", 3, 5248, 40, 128), new("nothing to turn", 3, 8, 0, 4), new("empty", 0, 8, 1, 8),
    ];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("qkv", (s[0], s[1]), Activations) { Gradient = Gradient.Written },
        new("positions", s[0], DType.I32) { Draw = (ref PhiloxStream random, int index) => index == 0 ? 131072 : random.NextInt(131072) },
        new("frequencies", s[3] / 2) { Draw = Draws.Fixed(index => RopeFrequencies.Compute(s[3], 10000, null)[index]) },
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) =>
        [new("turned", (s[0], s[1]), Activations) { StartsAs = "qkv", IsDifferentiable = true }];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.Rope(outputs[0], s[2], s[3], inputs[1], inputs[2], inverse: false);

    public override void RunBackward(
        Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs,
        ReadOnlySpan<Tensor> outputGradients, ReadOnlySpan<Tensor> inputGradients)
    {
        ops.Copy(outputGradients[0], inputGradients[0]);
        ops.Rope(inputGradients[0], s[2], s[3], inputs[1], inputs[2], inverse: true);
    }

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        double[] y = [.. inputs[0]];
        for (int n = 0; n < s[0]; n++)
            for (int head = 0; head < s[2]; head++)
                for (int i = 0; i < s[3] / 2; i++)
                {
                    int first = n * s[1] + head * s[3] + i, second = first + s[3] / 2;
                    double angle = inputs[1][n] * inputs[2][i];
                    y[first] = inputs[0][first] * Math.Cos(angle) - inputs[0][second] * Math.Sin(angle);
                    y[second] = inputs[0][second] * Math.Cos(angle) + inputs[0][first] * Math.Sin(angle);
                }
        return [y];
    }

    public override Cost Cost(CaseShape s) => new(2L * Activations.Size() * s[0] * s[2] * s[3] + 4L * s[0], 6L * s[0] * s[2] * s[3] / 2);
}
