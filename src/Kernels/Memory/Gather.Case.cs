using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>Sizes: M rows of the source, C columns, N rows taken.</summary>
internal sealed class GatherCase : OpCase
{
    public override string Name => "gather";

    public override IReadOnlyList<string> Kernels => ["gather", "add_rows"];

    public override bool HasActivations => true;

    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("hidden rows", 2048, 256, 1024), new("odd", 3, 17, 17), new("one", 1, 1, 1), new("single columns", 257, 1, 3),
        new("wide, repeated", 2, 700, 257), new("wider than a block", 2, 2056, 3), new("nothing taken", 5, 8, 0),
    ];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("source", (s[0], s[1]), Activations) { Gradient = Gradient.Added },
        new("ints", s[1] == 1 ? s[0] : (s[0], s[1]), DType.I32) { Draw = Draws.Integer(-1000, 1000) },
        new("rows", s[2], DType.I32) { Draw = Draws.Integer(0, s[0]) },
        new("matrix", (s[0], s[1]), DType.BF16),
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) =>
    [
        new("y", (s[2], s[1]), Activations) { IsDifferentiable = true }, new("int y", s[1] == 1 ? s[2] : (s[2], s[1]), DType.I32),
        new("matrix y", (s[2], s[1]), DType.BF16),
    ];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs)
    {
        ops.Gather(inputs[0], inputs[2], outputs[0]);
        ops.Gather(inputs[1], inputs[2], outputs[1]);
        ops.Gather(inputs[3], inputs[2], outputs[2]);
    }

    public override void RunBackward(
        Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs,
        ReadOnlySpan<Tensor> outputGradients, ReadOnlySpan<Tensor> inputGradients) =>
        ops.GatherBackward(outputGradients[0], inputs[2], inputGradients[0]);

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        double[] Take(double[] source) => [.. inputs[2].SelectMany(row => source.Skip((int)row * s[1]).Take(s[1]))];
        return [Take(inputs[0]), Take(inputs[1]), Take(inputs[3])];
    }

    public override Cost Cost(CaseShape s) => new((2L * Activations.Size() + 12) * s[2] * s[1] + 12L * s[2], 0);
}
