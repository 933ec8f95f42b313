using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>Sizes: rows, vocabulary, whether some tokens are masked (2: and have values that are not finite), where the gradients go.</summary>
internal sealed class ExpectedValueCase : OpCase
{
    private const int Apart = 0, InPlace = 1, LogitsOnly = 2, ValuesOnly = 3;

    public override string Name => "expected_value";

    public override IReadOnlyList<string> Kernels => ["expected_value", "copy"];   // backward in place is given copies

    public override bool HasActivations => true;

    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("training step", 64, 2048, 0, Apart), new("in place", 19, 257, 0, InPlace), new("wide in place", 3, 1032, 0, InPlace),
        new("the policy's step", 192, 14, 0, LogitsOnly), new("the values' step", 33, 12, 0, ValuesOnly), new("masked tokens", 17, 41, 1, Apart), new("masked tokens of no value", 6, 41, 2, Apart),
        new("odd", 3, 17, 0, Apart), new("one", 1, 1, 0, Apart), new("Qwen vocabulary", 1, 151_936, 0, Apart), new("empty", 0, 8, 0, Apart),
    ];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("logits", (s[0], s[1]), Activations)
        {
            Draw = (ref PhiloxStream random, int index) =>
                s[2] > 0 && IsMasked(index % s[1]) ? double.NegativeInfinity : 3 * random.NextNormal(),
            Gradient = s[3] == ValuesOnly ? Gradient.None : Gradient.Written,
        },
        new("values", (s[0], s[1]))
        {
            Draw = (ref PhiloxStream random, int index) =>
                s[2] == 2 && IsMasked(index % s[1]) ? index % 2 == 0 ? double.PositiveInfinity : double.NaN : random.NextNormal(),
            Gradient = s[3] == LogitsOnly ? Gradient.None : Gradient.Written,
        },
        new("tokens", s[0], DType.I32) { Draw = s[2] == 2 ? Draws.Fixed(row => row == 0 ? -1 : 5 * row) : Draws.Integer(-1, s[1]) },
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) =>
    [
        new("means", s[0]) { IsDifferentiable = true }, new("chosen", s[0]) { IsDifferentiable = true }, new("logSumExp", s[0]),
    ];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.ExpectedValue(inputs[0], inputs[1], inputs[2], outputs[0], outputs[1], outputs[2]);

    public override void RunBackward(
        Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs,
        ReadOnlySpan<Tensor> outputGradients, ReadOnlySpan<Tensor> inputGradients)
    {
        (Tensor logits, Tensor values) = (inputs[0], inputs[1]);
        if (s[3] == InPlace)
        {
            ops.Copy(logits, inputGradients[0]);
            ops.Copy(values, inputGradients[1]);
            (logits, values) = (inputGradients[0], inputGradients[1]);
        }
        ops.ExpectedValueBackward(
            outputGradients[0], outputGradients[1], logits, values, inputs[2], outputs[0], outputs[2], inputGradients[0], inputGradients[1]);
    }

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        double[] means = new double[s[0]], chosen = new double[s[0]], logSumExp = new double[s[0]];
        for (int n = 0; n < s[0]; n++)
        {
            int token = (int)inputs[2][n];
            if (token < 0) continue;
            double sum = 0, moment = 0;
            for (int v = 0; v < s[1]; v++)
            {
                double weight = Math.Exp(inputs[0][n * s[1] + v]);
                if (weight == 0) continue;
                sum += weight;
                moment += weight * inputs[1][n * s[1] + v];
            }
            means[n] = moment / sum;
            chosen[n] = inputs[1][n * s[1] + token];
            logSumExp[n] = Math.Log(sum);
        }
        return [means, chosen, logSumExp];
    }

    private static bool IsMasked(int token) => token % 5 == 3;

    public override Cost Cost(CaseShape s) => new((Activations.Size() + 4L) * s[0] * s[1], 20L * s[0] * s[1]);
}
