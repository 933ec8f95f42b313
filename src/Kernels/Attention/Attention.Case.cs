using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>Sizes: B, T, H, G, D, and how the rows lie in their T places.</summary>
internal sealed class AttentionCase : OpCase
{
    private const int Causal = 0, Mixed = 1, Empty = 2;

    public override string Name => "attention";

    public override IReadOnlyList<string> Kernels => ["attention", "attention_backward", "attention_backward_keys"];

    public override bool HasActivations => true;

    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("training step", 64, 32, 4, 4, 16, Mixed), new("causal", 2, 18, 4, 4, 16, Causal), new("grouped", 6, 20, 4, 2, 8, Mixed),
        new("one KV head", 6, 13, 4, 1, 24, Mixed), new("odd", 6, 17, 3, 1, 3, Mixed), new("long", 2, 257, 2, 1, 5, Mixed),
        new("long causal", 1, 257, 1, 1, 17, Causal), new("two tiles", 6, 67, 2, 2, 8, Mixed), new("wide heads", 1, 40, 2, 1, 128, Causal),
        new("three heads a group", 3, 70, 3, 1, 40, Mixed), new("one token", 3, 1, 2, 1, 4, Causal),
        new("empty spans", 2, 5, 2, 2, 8, Empty), new("no rows", 0, 7, 2, 2, 8, Causal),
    ];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("qkv", (s[0] * s[1], (s[2] + 2 * s[3]) * s[4]), Activations) { Gradient = Gradient.Written, Draw = Draws.Normal(1.5) },
        new("spans", (s[0], 3), DType.I32) { Draw = Draws.Fixed(i => Span(s[5], i / 3, s[1])[i % 3]) },
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) =>
        [new("y", (s[0] * s[1], s[2] * s[4]), Activations) { IsDifferentiable = true }, new("logSumExp", (s[0], s[2], s[1]))];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.Attention(inputs[0], inputs[1], s[2], s[3], outputs[0], outputs[1]);

    public override void RunBackward(
        Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs,
        ReadOnlySpan<Tensor> outputGradients, ReadOnlySpan<Tensor> inputGradients) =>
        ops.AttentionBackward(outputGradients[0], inputs[0], inputs[1], s[2], s[3], outputs[0], outputs[1], inputGradients[0]);

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        int batch = s[0], time = s[1], heads = s[2], kvHeads = s[3], dim = s[4], width = (heads + 2 * kvHeads) * dim;
        double[] y = new double[batch * time * heads * dim], logSumExp = new double[batch * heads * time];
        for (int b = 0; b < batch; b++)
        {
            int first = (int)inputs[1][3 * b], prompt = (int)inputs[1][3 * b + 1], end = (int)inputs[1][3 * b + 2];
            for (int h = 0; h < heads; h++)
            {
                int g = h / (heads / kvHeads), k = (heads + g) * dim, v = (heads + kvHeads + g) * dim;
                for (int t = first; t < end; t++)
                {
                    int stop = t < prompt ? prompt : t + 1;
                    double[] scores = new double[time];
                    double sum = 0;
                    for (int other = first; other < stop; other++)
                    {
                        double score = 0;
                        for (int d = 0; d < dim; d++)
                            score += inputs[0][(b * time + t) * width + h * dim + d] * inputs[0][(b * time + other) * width + k + d];
                        scores[other] = score / Math.Sqrt(dim);
                        sum += Math.Exp(scores[other]);
                    }
                    logSumExp[(b * heads + h) * time + t] = Math.Log(sum);
                    for (int other = first; other < stop; other++)
                        for (int d = 0; d < dim; d++)
                            y[((b * time + t) * heads + h) * dim + d] +=
                                Math.Exp(scores[other]) / sum * inputs[0][(b * time + other) * width + v + d];
                }
            }
        }
        return [y, logSumExp];
    }

    public override Cost Cost(CaseShape s)
    {
        long bytes = (long)s[0] * s[1] * (2 * (s[2] + s[3]) * s[4] * Activations.Size() + sizeof(float) * s[2]);
        long pairs = (long)s[0] * s[2] * s[1] * (s[1] + 1) / 2;
        return new(bytes, pairs * 4 * s[4]);
    }

    /// <summary>First, prompt, end of a row: in turn full and causal, with a prompt, padded left, padded right, both, empty.</summary>
    private static int[] Span(int kind, int row, int time) => kind switch
    {
        Causal => [0, 0, time],
        Empty => [row, 0, row],
        _ => (row % 6) switch
        {
            0 => [0, 0, time],
            1 => [0, time / 2, time],
            2 => [time / 4, time / 4 + 5, time],
            3 => [0, 2, time - 3],
            4 => [3, time - 2, time - 2],
            _ => [2, 4, 2],
        },
    };
}
