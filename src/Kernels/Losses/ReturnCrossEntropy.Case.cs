using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>Sizes: rows, atoms (1 is Bernoulli), projection.</summary>
internal sealed class ReturnCrossEntropyCase : OpCase
{
    public override string Name => "return_cross_entropy";

    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("star graph, Bernoulli", 192, 1, 0), new("two-hot", 64, 11, (int)Projection.TwoHot), new("nearest", 64, 11, (int)Projection.Nearest),
        new("odd", 17, 257, 0), new("two atoms", 3, 2, 0), new("one", 1, 1, 0), new("empty", 0, 11, 0),
    ];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("valueLogits", (s[0], s[1])) { Draw = Draws.Normal(3) },
        // Returns on both ends, on atoms, between them and outside of the range.
        new("returns", s[0]) { Draw = (ref PhiloxStream random, int index) => index % 4 == 0 ? -1 : index % 4 == 1 ? 2 : -1.2 + 3.4 * random.NextUniform() },
        new("weights", s[0]) { Draw = Draws.Uniform(0, 2) },
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) =>
        [new("losses", s[0]) { IsDifferentiable = true }, new("dLogits", (s[0], s[1])) { GradientOf = "valueLogits" }];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.ReturnCrossEntropy(inputs[0], inputs[1], inputs[2], Family(s), (Projection)s[2], outputs[0], outputs[1]);

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        (double[] logits, double[] returns, double[] weights) = (inputs[0], inputs[1], inputs[2]);
        ReturnFamily family = Family(s);
        double[] losses = new double[s[0]], gradient = new double[s[0] * s[1]];
        for (int n = 0; n < s[0]; n++)
        {
            double value = Math.Clamp(returns[n], family.Min, family.Max);
            if (s[1] == 1)
            {
                double r = (value - family.Min) / (family.Max - family.Min), l = logits[n], p = 1 / (1 + Math.Exp(-l));
                losses[n] = -weights[n] * (r * Math.Log(p) + (1 - r) * Math.Log(1 - p));
                gradient[n] = weights[n] * (p - r);
                continue;
            }
            double step = (family.Max - family.Min) / (double)(s[1] - 1), sum = 0;
            for (int a = 0; a < s[1]; a++) sum += Math.Exp(logits[n * s[1] + a]);
            for (int a = 0; a < s[1]; a++)
            {
                double distance = Math.Abs(value - (family.Min + a * step)) / step;
                double target = (Projection)s[2] == Projection.TwoHot ? Math.Max(0, 1 - distance)
                    : a == (int)Math.Round((value - family.Min) / step) ? 1 : 0;
                double p = Math.Exp(logits[n * s[1] + a]) / sum;
                losses[n] -= weights[n] * target * Math.Log(p);
                gradient[n * s[1] + a] = weights[n] * (p - target);
            }
        }
        return [losses, gradient];
    }

    public override Cost Cost(CaseShape s) => new(8L * s[0] * s[1], 30L * s[0] * s[1]);

    private static ReturnFamily Family(CaseShape s) =>
        s[1] == 1 ? new ReturnFamily(FamilyKind.Bernoulli, -1, 2, 1) : ReturnFamily.Categorical(-1, 2, s[1]);
}
