using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>Sizes: rows, vocabulary.</summary>
internal sealed class TokenCrossEntropyCase : OpCase
{
    public override string Name => "token_cross_entropy";

    public override IReadOnlyList<CaseShape> Shapes { get; } =
        [new("star graph", 192, 14), new("odd", 17, 257), new("small", 3, 3), new("one", 1, 1), new("large vocabulary", 2, 50257), new("empty", 0, 5)];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("logits", (s[0], s[1])) { Draw = Draws.Normal(4) },
        new("targets", s[0], DType.I32) { Draw = Draws.Integer(-1, s[1]) },
        new("weights", s[0]) { Draw = Draws.Uniform(0, 2) },
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) =>
        [new("losses", s[0]) { IsDifferentiable = true }, new("dLogits", (s[0], s[1])) { GradientOf = "logits" }];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.TokenCrossEntropy(inputs[0], inputs[1], inputs[2], outputs[0], outputs[1]);

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        (double[] logits, double[] targets, double[] weights) = (inputs[0], inputs[1], inputs[2]);
        double[] losses = new double[s[0]], gradient = new double[s[0] * s[1]];
        for (int n = 0; n < s[0]; n++)
        {
            int target = (int)targets[n];
            if (target < 0) continue;
            double sum = 0;
            for (int v = 0; v < s[1]; v++) sum += Math.Exp(logits[n * s[1] + v]);
            losses[n] = weights[n] * (Math.Log(sum) - logits[n * s[1] + target]);
            for (int v = 0; v < s[1]; v++)
                gradient[n * s[1] + v] = weights[n] * (Math.Exp(logits[n * s[1] + v]) / sum - (v == target ? 1 : 0));
        }
        return [losses, gradient];
    }

    public override Cost Cost(CaseShape s) => new(8L * s[0] * s[1], 30L * s[0] * s[1]);
}
