using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>Sizes: N tokens, V rows of the table, C columns, P positions (0: none).</summary>
/// <param name="tables">F32 or BF16; their gradients are F32.</param>
internal sealed class EmbeddingCase(string suffix, DType tables) : OpCase
{
    public override string Name => "embedding" + suffix;

    public override IReadOnlyList<string> Kernels => ["embedding", "add_rows"];

    public override bool HasActivations => true;

    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("training step", 2048, 32, 128, 64), new("odd, no positions", 17, 257, 3, 0), new("odd", 257, 3, 17, 3),
        new("one", 1, 1, 1, 1), new("wide", 3, 5, 700, 2), new("wider than a block", 3, 2, 2056, 2), new("empty", 0, 5, 8, 2),
    ];

    public override IReadOnlyList<Operand> Inputs(CaseShape s)
    {
        Operand tokens = new("tokens", s[0], DType.I32) { Draw = Draws.Integer(0, s[1]) };
        Operand table = new("table", (s[1], s[2]), tables) { Gradient = Gradient.Added, GradientType = DType.F32 };
        if (s[3] == 0) return [tokens, table];
        return
        [
            tokens, table,
            new("positions", s[0], DType.I32) { Draw = Draws.Fixed(n => n % s[3]) },
            new("positionTable", (s[3], s[2]), tables) { Gradient = Gradient.Added, GradientType = DType.F32 },
        ];
    }

    public override IReadOnlyList<Operand> Outputs(CaseShape s) => [new("y", (s[0], s[2]), Activations) { IsDifferentiable = true }];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs)
    {
        if (s[3] == 0) ops.Embedding(inputs[0], inputs[1], Tensor.None, Tensor.None, outputs[0]);
        else ops.Embedding(inputs[0], inputs[1], inputs[2], inputs[3], outputs[0]);
    }

    public override void RunBackward(
        Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs,
        ReadOnlySpan<Tensor> outputGradients, ReadOnlySpan<Tensor> inputGradients)
    {
        if (s[3] == 0) ops.EmbeddingBackward(outputGradients[0], inputs[0], Tensor.None, inputGradients[1], Tensor.None);
        else ops.EmbeddingBackward(outputGradients[0], inputs[0], inputs[2], inputGradients[1], inputGradients[3]);
    }

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        double[] y = new double[s[0] * s[2]];
        for (int n = 0; n < s[0]; n++)
            for (int c = 0; c < s[2]; c++)
            {
                y[n * s[2] + c] = inputs[1][(int)inputs[0][n] * s[2] + c];
                if (s[3] > 0) y[n * s[2] + c] += inputs[3][(int)inputs[2][n] * s[2] + c];
            }
        return [y];
    }

    public override Cost Cost(CaseShape s) => new(((long)Activations.Size() + tables.Size() * (s[3] == 0 ? 1 : 2)) * s[0] * s[2] + 8L * s[0], (long)s[0] * s[2]);
}
