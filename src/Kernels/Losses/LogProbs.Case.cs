using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>Sizes: rows, vocabulary.</summary>
internal sealed class LogProbsCase : OpCase
{
    public override string Name => "log_probs";

    public override IReadOnlyList<CaseShape> Shapes { get; } =
        [new("star graph", 192, 14), new("odd", 17, 257), new("small", 3, 3), new("one", 1, 1), new("empty", 0, 5)];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("logits", (s[0], s[1])) { Draw = Draws.Normal(4), Gradient = Gradient.Written },
        new("tokens", s[0], DType.I32) { Draw = Draws.Integer(-1, s[1]) },
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) => [new("logProbs", s[0]) { IsDifferentiable = true }, new("logSumExp", s[0])];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.LogProbs(inputs[0], inputs[1], outputs[0], outputs[1]);

    public override void RunBackward(
        Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs,
        ReadOnlySpan<Tensor> outputGradients, ReadOnlySpan<Tensor> inputGradients) =>
        ops.LogProbsBackward(outputGradients[0], inputs[0], inputs[1], outputs[1], inputGradients[0]);

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        double[] logProbs = new double[s[0]], logSumExp = new double[s[0]];
        for (int n = 0; n < s[0]; n++)
        {
            double sum = 0;
            for (int v = 0; v < s[1]; v++) sum += Math.Exp(inputs[0][n * s[1] + v]);
            logSumExp[n] = Math.Log(sum);
            int token = (int)inputs[1][n];
            logProbs[n] = token < 0 ? 0 : inputs[0][n * s[1] + token] - logSumExp[n];
        }
        return [logProbs, logSumExp];
    }

    public override Cost Cost(CaseShape s) => new(4L * s[0] * s[1], 20L * s[0] * s[1]);
}
