using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>Sizes: rows, vocabulary, and where the gradient goes or that some tokens are masked.</summary>
internal sealed class TokenCrossEntropyCase : OpCase
{
    private const int Apart = 0, InPlace = 1, LossOnly = 2, Masked = 3;

    public override string Name => "token_cross_entropy";

    public override bool HasActivations => true;

    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("training step", 64, 2048, Apart), new("in place", 19, 257, InPlace), new("loss only", 5, 64, LossOnly),
        new("masked tokens", 17, 41, Masked), new("star graph", 192, 14, InPlace), new("odd", 3, 17, Apart), new("wide in place", 3, 1032, InPlace),
        new("two tokens", 33, 2, InPlace), new("one", 1, 1, Apart), new("Qwen vocabulary", 1, 151_936, Apart), new("empty", 0, 8, Apart),
    ];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("logits", (s[0], s[1]), Activations) { Draw = s[2] == Masked ? Masks(s[1]) : Draws.Normal(3) },
        new("targets", s[0], DType.I32) { Draw = s[2] == Masked ? Unmasked(s[1]) : Draws.Integer(-1, s[1]) },
        new("weights", s[0]) { Draw = (ref PhiloxStream random, int index) => index % 7 == 6 ? 0 : 2 * random.NextUniform() - 1 },
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s)
    {
        Operand losses = new("losses", s[0]) { IsDifferentiable = true };
        if (s[2] == LossOnly) return [losses];
        return [losses, new("dLogits", (s[0], s[1]), Activations) { GradientOf = "logits", StartsAs = s[2] == InPlace ? "logits" : null }];
    }

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) => ops.TokenCrossEntropy(
        s[2] == InPlace ? outputs[1] : inputs[0], inputs[1], inputs[2], outputs[0], s[2] == LossOnly ? Tensor.None : outputs[1]);

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        int vocab = s[1];
        double[] losses = new double[s[0]], gradient = new double[inputs[0].Length];
        for (int n = 0; n < s[0]; n++)
        {
            int target = (int)inputs[1][n];
            double weight = inputs[2][n], sum = 0;
            if (target < 0) continue;
            for (int v = 0; v < vocab; v++) sum += Math.Exp(inputs[0][n * vocab + v]);
            losses[n] = -weight * (inputs[0][n * vocab + target] - Math.Log(sum));
            for (int v = 0; v < vocab; v++)
                gradient[n * vocab + v] = weight * (Math.Exp(inputs[0][n * vocab + v]) / sum - (v == target ? 1 : 0));
        }
        return s[2] == LossOnly ? [losses] : [losses, gradient];
    }

    public override Cost Cost(CaseShape s) => new((s[2] == LossOnly ? 1L : 2L) * Activations.Size() * s[0] * s[1], 20L * s[0] * s[1]);

    /// <summary>Every fifth column but the first is a token that cannot occur.</summary>
    private static Draw Masks(int vocab) => (ref PhiloxStream random, int index) =>
        index % vocab % 5 == 3 ? double.NegativeInfinity : 3 * random.NextNormal();

    private static Draw Unmasked(int vocab) => (ref PhiloxStream random, int _) => 5 * random.NextInt((vocab + 4) / 5);
}
