using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>Sizes: rows, link.</summary>
internal sealed class SquaredErrorCase : OpCase
{
    public override string Name => "squared_error";

    public override IReadOnlyList<CaseShape> Shapes { get; } =
        [new("star graph, sigmoid", 192, (int)Link.Sigmoid), new("identity", 257, (int)Link.Identity), new("odd", 17, 1), new("one", 1, 0), new("empty", 0, 0)];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
        [new("outputs", s[0]) { Draw = Draws.Normal(2) }, new("targets", s[0]), new("weights", s[0]) { Draw = Draws.Uniform(0, 2) }];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) =>
        [new("losses", s[0]) { IsDifferentiable = true }, new("dOutputs", s[0]) { GradientOf = "outputs" }];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.SquaredError(inputs[0], inputs[1], inputs[2], (Link)s[1], outputs[0], outputs[1]);

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        double[] losses = new double[s[0]], gradient = new double[s[0]];
        for (int n = 0; n < s[0]; n++)
        {
            double x = inputs[0][n], p = 1 / (1 + Math.Exp(-x));
            double value = (Link)s[1] == Link.Sigmoid ? p : x, slope = (Link)s[1] == Link.Sigmoid ? p * (1 - p) : 1;
            losses[n] = inputs[2][n] * (value - inputs[1][n]) * (value - inputs[1][n]);
            gradient[n] = 2 * inputs[2][n] * (value - inputs[1][n]) * slope;
        }
        return [losses, gradient];
    }

    public override Cost Cost(CaseShape s) => new(20L * s[0], 20L * s[0]);
}
