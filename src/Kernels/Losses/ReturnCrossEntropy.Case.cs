using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>
/// Sizes: rows, atoms (1: Bernoulli), projection, whether there is a gradient (0: the loss alone; 1: apart; 2: over the
/// logits), whether returns are the family's ends only. Bernoulli returns range over [0, 1], categorical over [−1, 2].
/// </summary>
internal sealed class ReturnCrossEntropyCase : OpCase
{
    private const int TwoHot = (int)Projection.TwoHot, Nearest = (int)Projection.Nearest;

    public override string Name => "return_cross_entropy";

    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("training step", 8192, 1, TwoHot, 1, 1), new("categorical", 1024, 11, TwoHot, 1, 0), new("nearest", 257, 11, Nearest, 1, 0),
        new("fractional Bernoulli", 1027, 1, TwoHot, 1, 0), new("Bernoulli in place", 17, 1, Nearest, 2, 1),
        new("categorical in place", 17, 51, TwoHot, 2, 0), new("Bernoulli loss only", 3, 1, TwoHot, 0, 0),
        new("categorical loss only", 3, 17, TwoHot, 0, 0), new("two atoms at the ends", 33, 2, TwoHot, 1, 1),
        new("one Bernoulli", 1, 1, TwoHot, 1, 0), new("one categorical", 1, 3, Nearest, 1, 0),
        new("empty Bernoulli", 0, 1, TwoHot, 1, 0), new("empty categorical", 0, 11, TwoHot, 1, 0),
    ];

    public override IReadOnlyList<Operand> Inputs(CaseShape s)
    {
        ReturnFamily family = Family(s);
        float low = family.Min, high = family.Max;
        return
        [
            new("valueLogits", (s[0], s[1])) { Draw = Draws.Normal(3) },
            new("returns", s[0])
            {
                // A tenth of the range past both ends, to be clamped.
                Draw = s[4] == 1
                    ? (ref PhiloxStream random, int _) => random.NextInt(2) == 0 ? low : high
                    : Draws.Uniform(low - 0.1 * (high - low), high + 0.1 * (high - low)),
            },
            new("weights", s[0]) { Draw = (ref PhiloxStream random, int index) => index % 7 == 6 ? 0 : random.NextUniform() },
        ];
    }

    public override IReadOnlyList<Operand> Outputs(CaseShape s)
    {
        Operand losses = new("losses", s[0]) { IsDifferentiable = true };
        if (s[3] == 0) return [losses];
        return [losses, new("dValueLogits", (s[0], s[1])) { GradientOf = "valueLogits", StartsAs = s[3] == 2 ? "valueLogits" : null }];
    }

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) => ops.ReturnCrossEntropy(
        s[3] == 2 ? outputs[1] : inputs[0], inputs[1], inputs[2], Family(s), (Projection)s[2], outputs[0],
        s[3] == 0 ? Tensor.None : outputs[1]);

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        int atoms = s[1];
        ReturnFamily family = Family(s);
        double[] losses = new double[s[0]], gradient = new double[inputs[0].Length];
        for (int n = 0; n < s[0]; n++)
        {
            double weight = inputs[2][n], r = (inputs[1][n] - family.Min) / ((double)family.Max - family.Min);
            r = Math.Clamp(r, 0, 1);
            if (atoms == 1)
            {
                double p = 1 / (1 + Math.Exp(-inputs[0][n]));
                losses[n] = -weight * (r * Math.Log(p) + (1 - r) * Math.Log(1 - p));
                gradient[n] = weight * (p - r);
                continue;
            }
            double[] q = new double[atoms];
            for (int i = 0; i < atoms; i++)
            {
                double distance = Math.Abs(r * (atoms - 1) - i);
                q[i] = (Projection)s[2] == Projection.TwoHot ? Math.Max(1 - distance, 0) : distance < 0.5 ? 1 : 0;   // no draw is halfway
            }
            double sum = 0;
            for (int i = 0; i < atoms; i++) sum += Math.Exp(inputs[0][n * atoms + i]);
            for (int i = 0; i < atoms; i++)
            {
                double p = Math.Exp(inputs[0][n * atoms + i]) / sum;
                losses[n] -= weight * q[i] * Math.Log(p);
                gradient[n * atoms + i] = weight * (p - q[i]);
            }
        }
        return s[3] == 0 ? [losses] : [losses, gradient];
    }

    public override Cost Cost(CaseShape s) => new((s[3] == 0 ? 4L : 8L) * s[0] * s[1] + 12L * s[0], 30L * s[0] * s[1]);

    private static ReturnFamily Family(CaseShape s) => s[1] == 1 ? ReturnFamily.Bernoulli : ReturnFamily.Categorical(-1, 2, s[1]);
}
