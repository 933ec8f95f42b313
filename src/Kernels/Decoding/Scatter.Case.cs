using QSharp.Engine;

namespace QSharp.Kernels;

internal sealed class ScatterCase : OpCase
{
    public override string Name => "scatter";

    // B, V, K.
    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("decode step", 8, 32000, 20), new("odd", 17, 257, 3), new("all tokens", 3, 17, 17), new("one", 1, 1, 1),
        new("empty", 0, 8, 2),
    ];

    // The last slot of every third row is empty; every fifth row leaves out all others.
    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("x", (s[0], s[1])) { Draw = LogSoftmaxCase.Masked },
        new("candidates", (s[0], s[2]), DType.I32)
        {
            Draw = Draws.Fixed(index => index % s[2] == s[2] - 1 && index / s[2] % 3 == 1 ? -1
                : (3 * (index / s[2]) + (index % s[2]) * 7919L) % s[1]),
        },
        new("values", (s[0], s[2])),
        new("others", s[0]) { Draw = (ref PhiloxStream random, int row) => row % 5 == 4 ? double.NegativeInfinity : random.NextNormal() },
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) => [new("y", (s[0], s[1]))];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.Scatter(inputs[0], inputs[1], inputs[2], inputs[3], outputs[0]);

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        double[] y = [.. inputs[0].Select((x, i) => x + inputs[3][i / s[1]])];
        for (int k = 0; k < inputs[1].Length; k++)
        {
            int at = k / s[2] * s[1] + (int)inputs[1][k];
            if (inputs[1][k] >= 0) y[at] = inputs[0][at] + inputs[2][k];
        }
        return [y];
    }

    public override Cost Cost(CaseShape s) => new(8L * s[0] * s[1], (long)s[0] * s[1]);
}
