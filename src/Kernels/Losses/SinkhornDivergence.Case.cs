using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>
/// Sizes: rows, atoms, whether there is a gradient (0: the loss alone; 1: apart; 2: over the logits), ε in hundredths, the cost's power
/// in tenths. The oracle's potential is run until it stands still, so an iteration that stops too early is seen.
/// </summary>
internal sealed class SinkhornDivergenceCase : OpCase
{
    public override string Name => "sinkhorn_divergence";

    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("training step", 1024, 11, 1, 100, 10), new("squared cost", 57, 11, 1, 30, 20), new("in place", 17, 17, 2, 50, 10), new("little entropy", 5, 11, 1, 5, 10),
        new("much entropy", 33, 5, 1, 10000, 10), new("loss only", 3, 17, 0, 20, 15), new("two atoms", 1, 2, 1, 100, 10),
        new("more atoms than lanes", 3, 51, 2, 100, 10), new("empty", 0, 11, 1, 100, 10),
    ];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("valueLogits", (s[0], s[1])) { Draw = Draws.Normal(2) },
        new("returns", s[0]) { Draw = Draws.Uniform(-1.3, 2.3) },
        new("weights", s[0]) { Draw = (ref PhiloxStream random, int index) => index % 7 == 6 ? 0 : random.NextUniform() },
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s)
    {
        Operand losses = new("losses", s[0]) { IsDifferentiable = true };
        if (s[2] == 0) return [losses];
        return [losses, new("dValueLogits", (s[0], s[1])) { GradientOf = "valueLogits", StartsAs = s[2] == 2 ? "valueLogits" : null }];
    }

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) => ops.SinkhornDivergence(
        s[2] == 2 ? outputs[1] : inputs[0], inputs[1], inputs[2], Family(s), s[3] / 100f, s[4] / 10f, outputs[0], s[2] == 0 ? Tensor.None : outputs[1]);

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        int atoms = s[1];
        ReturnFamily family = Family(s);
        double epsilon = s[3] / 100f, power = s[4] / 10f, step = 3.0 / (atoms - 1);
        double[] losses = new double[s[0]], gradient = new double[inputs[0].Length];
        for (int n = 0; n < s[0]; n++)
        {
            double weight = inputs[2][n], value = Math.Clamp(inputs[1][n], family.Min, family.Max);
            double[] p = new double[atoms], u = new double[atoms], slope = new double[atoms];
            for (int i = 0; i < atoms; i++) p[i] = Math.Exp(inputs[0][n * atoms + i]);
            double sum = p.Sum();
            for (int i = 0; i < atoms; i++) p[i] /= sum;
            for (double change = 1; change > 1e-13;)
            {
                double[] last = [.. u];
                for (int i = 0; i < atoms; i++)
                {
                    double total = 0;
                    for (int j = 0; j < atoms; j++) total += p[j] * Math.Exp((last[j] - last[i] - Math.Pow(Math.Abs(i - j) * step, power)) / epsilon);
                    u[i] = -epsilon / 2 * Math.Log(total);   // ½(u + T(u)), where u_i cancels once it is taken out of the logarithm
                }
                change = u.Zip(last, (x, y) => Math.Abs(x - y)).Max();
            }
            double loss = 0;
            for (int i = 0; i < atoms; i++)
            {
                slope[i] = 2 * (Math.Pow(Math.Abs(family.Min + i * step - value), power) - u[i]);
                loss += p[i] * slope[i];
            }
            losses[n] = weight * loss;
            for (int i = 0; i < atoms; i++) gradient[n * atoms + i] = weight * p[i] * (slope[i] - loss);
        }
        return s[2] == 0 ? [losses] : [losses, gradient];
    }

    public override Cost Cost(CaseShape s) => new((s[2] == 0 ? 4L : 8L) * s[0] * s[1] + 12L * s[0], 40L * 6 * s[0] * s[1] * s[1]);

    private static ReturnFamily Family(CaseShape s) => ReturnFamily.Categorical(-1, 2, s[1]);
}
