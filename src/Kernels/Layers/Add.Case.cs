using QSharp.Engine;

namespace QSharp.Kernels;

internal sealed class AddCase : OpCase
{
    public override string Name => "add";

    public override bool HasActivations => true;

    public override IReadOnlyList<CaseShape> Shapes { get; } =
        [new("residual", 2048, 256), new("odd", 3, 17), new("one", 1, 1), new("long row", 1, 257), new("empty", 0, 8)];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) => [new("a", (s[0], s[1]), Activations), new("b", (s[0], s[1]), Activations)];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) =>
        [new("y", (s[0], s[1]), Activations), new("in place", (s[0], s[1]), Activations) { StartsAs = "b" }];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs)
    {
        ops.Add(inputs[0], inputs[1], outputs[0]);
        ops.Add(outputs[1], inputs[0], outputs[1]);
    }

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        double[] sum = [.. inputs[0].Zip(inputs[1], (a, b) => a + b)];
        return [sum, sum];
    }

    public override Cost Cost(CaseShape s) => new(6L * Activations.Size() * s[0] * s[1], 2L * s[0] * s[1]);
}
