using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>Sizes: count, link, whether there is a gradient (0: the loss alone; 1: apart; 2: over the outputs).</summary>
internal sealed class SquaredErrorCase : OpCase
{
    public override string Name => "squared_error";

    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("training step", 8192, 1, 1), new("identity", 257, 0, 1), new("in place", 1027, 1, 2), new("identity in place", 17, 0, 2),
        new("loss only", 19, 1, 0), new("one", 1, 1, 1), new("three", 3, 0, 1), new("empty", 0, 1, 1),
    ];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("outputs", s[0]) { Draw = Draws.Normal(3) },
        new("targets", s[0]) { Draw = Draws.Uniform(-0.5, 1.5) },
        new("weights", s[0]) { Draw = (ref PhiloxStream random, int index) => index % 7 == 6 ? 0 : random.NextUniform() },
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s)
    {
        Operand losses = new("losses", s[0]) { IsDifferentiable = true };
        if (s[2] == 0) return [losses];
        return [losses, new("dOutputs", s[0]) { GradientOf = "outputs", StartsAs = s[2] == 2 ? "outputs" : null }];
    }

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) => ops.SquaredError(
        s[2] == 2 ? outputs[1] : inputs[0], inputs[1], inputs[2], (Link)s[1], outputs[0], s[2] == 0 ? Tensor.None : outputs[1]);

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        double[] losses = new double[s[0]], gradient = new double[s[0]];
        for (int n = 0; n < s[0]; n++)
        {
            double x = inputs[0][n], target = inputs[1][n], weight = inputs[2][n];
            double value = s[1] == 1 ? 1 / (1 + Math.Exp(-x)) : x;
            losses[n] = weight * (value - target) * (value - target);
            gradient[n] = 2 * weight * (value - target) * (s[1] == 1 ? value * (1 - value) : 1);
        }
        return s[2] == 0 ? [losses] : [losses, gradient];
    }

    public override Cost Cost(CaseShape s) => new((s[2] == 0 ? 16L : 20L) * s[0], 25L * s[0]);
}
