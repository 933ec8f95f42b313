using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>Sizes: rows, atoms, projection, whether there is a gradient (0: the loss alone; 1: apart; 2: over the logits), κ in tenths.</summary>
internal sealed class RegularisedCrossEntropyCase : OpCase
{
    private const int TwoHot = (int)Projection.TwoHot, Nearest = (int)Projection.Nearest;

    public override string Name => "regularised_cross_entropy";

    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("training step", 8192, 11, TwoHot, 1, 5), new("nearest", 257, 11, Nearest, 1, 10), new("in place", 17, 51, TwoHot, 2, 3),
        new("loss only", 3, 17, TwoHot, 0, 20), new("no anchor", 33, 5, TwoHot, 1, 0), new("two atoms", 1, 2, TwoHot, 1, 10),
        new("more atoms than lanes", 5, 101, Nearest, 2, 7), new("empty", 0, 11, TwoHot, 1, 5),
    ];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("valueLogits", (s[0], s[1])) { Draw = Draws.Normal(3) },
        new("anchorLogits", (s[0], s[1])) { Draw = Draws.Normal(2) },
        new("returns", s[0]) { Draw = Draws.Uniform(-1.3, 2.3) },
        new("weights", s[0]) { Draw = (ref PhiloxStream random, int index) => index % 7 == 6 ? 0 : random.NextUniform() },
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s)
    {
        Operand losses = new("losses", s[0]) { IsDifferentiable = true };
        if (s[3] == 0) return [losses];
        return [losses, new("dValueLogits", (s[0], s[1])) { GradientOf = "valueLogits", StartsAs = s[3] == 2 ? "valueLogits" : null }];
    }

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) => ops.RegularisedCrossEntropy(
        s[3] == 2 ? outputs[1] : inputs[0], inputs[1], inputs[2], inputs[3], Family(s), (Projection)s[2], s[4] / 10f, outputs[0],
        s[3] == 0 ? Tensor.None : outputs[1]);

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        int atoms = s[1];
        double kappa = s[4] / 10f;
        double[] losses = new double[s[0]], gradient = new double[inputs[0].Length];
        for (int n = 0; n < s[0]; n++)
        {
            double weight = inputs[3][n], position = Math.Clamp((inputs[2][n] + 1) / 3, 0, 1) * (atoms - 1);
            double[] p = Softmax(inputs[0].AsSpan(n * atoms, atoms)), a = Softmax(inputs[1].AsSpan(n * atoms, atoms));
            for (int i = 0; i < atoms; i++)
            {
                double distance = Math.Abs(position - i);
                double q = (Projection)s[2] == Projection.TwoHot ? Math.Max(1 - distance, 0) : distance < 0.5 ? 1 : 0;   // no draw is halfway
                losses[n] += weight * (-q * Math.Log(p[i]) + kappa * a[i] * Math.Log(a[i] / p[i]));
                gradient[n * atoms + i] = weight * ((1 + kappa) * p[i] - q - kappa * a[i]);
            }
        }
        return s[3] == 0 ? [losses] : [losses, gradient];
    }

    public override Cost Cost(CaseShape s) => new((s[3] == 0 ? 8L : 12L) * s[0] * s[1] + 12L * s[0], 60L * s[0] * s[1]);

    private static double[] Softmax(Span<double> logits)
    {
        double[] p = new double[logits.Length];
        for (int i = 0; i < p.Length; i++) p[i] = Math.Exp(logits[i]);
        double sum = p.Sum();
        for (int i = 0; i < p.Length; i++) p[i] /= sum;
        return p;
    }

    private static ReturnFamily Family(CaseShape s) => ReturnFamily.Categorical(-1, 2, s[1]);
}
