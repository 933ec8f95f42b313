using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>Sizes: rows, vocabulary, whether some tokens are masked, whether backward writes over the logits.</summary>
internal sealed class LogProbsCase : OpCase
{
    public override string Name => "log_probs";

    public override IReadOnlyList<string> Kernels => ["log_probs", "copy"];   // backward in place is given a copy

    public override bool HasActivations => true;

    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("training step", 64, 2048, 0, 0), new("in place", 19, 257, 0, 1), new("masked tokens", 17, 41, 1, 0),
        new("odd", 3, 17, 0, 0), new("one", 1, 1, 0, 0), new("Qwen vocabulary", 1, 151_936, 0, 0), new("empty", 0, 8, 0, 0),
    ];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("logits", (s[0], s[1]), Activations)
        {
            Draw = (ref PhiloxStream random, int index) =>
                s[2] == 1 && index % s[1] % 5 == 3 ? double.NegativeInfinity : 3 * random.NextNormal(),
            Gradient = Gradient.Written,
        },
        new("tokens", s[0], DType.I32)
        {
            Draw = s[2] == 1 ? (ref PhiloxStream random, int _) => 5 * random.NextInt((s[1] + 4) / 5) : Draws.Integer(-1, s[1]),
        },
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) =>
        [new("logProbs", s[0]) { IsDifferentiable = true }, new("logSumExp", s[0])];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.LogProbs(inputs[0], inputs[1], outputs[0], outputs[1]);

    public override void RunBackward(
        Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs,
        ReadOnlySpan<Tensor> outputGradients, ReadOnlySpan<Tensor> inputGradients)
    {
        Tensor logits = inputs[0];
        if (s[3] == 1)
        {
            ops.Copy(logits, inputGradients[0]);
            logits = inputGradients[0];
        }
        ops.LogProbsBackward(outputGradients[0], logits, inputs[1], outputs[1], inputGradients[0]);
    }

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        double[] logProbs = new double[s[0]], logSumExp = new double[s[0]];
        for (int n = 0; n < s[0]; n++)
        {
            int token = (int)inputs[1][n];
            if (token < 0) continue;
            double sum = 0;
            for (int v = 0; v < s[1]; v++) sum += Math.Exp(inputs[0][n * s[1] + v]);
            logSumExp[n] = Math.Log(sum);
            logProbs[n] = inputs[0][n * s[1] + token] - logSumExp[n];
        }
        return [logProbs, logSumExp];
    }

    public override Cost Cost(CaseShape s) => new((long)Activations.Size() * s[0] * s[1], 15L * s[0] * s[1]);
}
