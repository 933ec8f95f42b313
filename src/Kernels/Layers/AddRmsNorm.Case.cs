using QSharp.Engine;

namespace QSharp.Kernels;

internal sealed class AddRmsNormCase : OpCase
{
    public override string Name => "add_rms_norm";

    public override IReadOnlyList<string> Kernels => ["rms_norm"];

    public override bool HasActivations => true;

    public override IReadOnlyList<CaseShape> Shapes { get; } =
        [new("training step", 1024, 256), new("odd", 3, 17), new("one", 1, 1), new("wide, odd", 2, 2059), new("empty", 0, 8)];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("a", (s[0], s[1]), Activations), new("b", (s[0], s[1]), Activations) { Draw = Draws.Normal(2) },
        new("weight", s[1]),
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) =>
    [
        new("sum", (s[0], s[1]), Activations), new("y", (s[0], s[1]), Activations), new("stats", s[0]),
        new("in place", (s[0], s[1]), Activations) { StartsAs = "a" }, new("y of it", (s[0], s[1]), Activations), new("its stats", s[0]),
    ];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs)
    {
        ops.AddRmsNorm(inputs[0], inputs[1], inputs[2], RmsNormCase.Epsilon, outputs[0], outputs[1], outputs[2]);
        ops.AddRmsNorm(outputs[3], inputs[1], inputs[2], RmsNormCase.Epsilon, outputs[3], outputs[4], outputs[5]);
    }

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        double[] sums = [.. inputs[0].Zip(inputs[1], (a, b) => a + b)];
        double[][] norm = new RmsNormCase().Oracle(s, [sums, inputs[2]]);
        return [sums, .. norm, sums, .. norm];
    }

    public override Cost Cost(CaseShape s) => new(4L * Activations.Size() * s[0] * s[1] + 4L * s[1] + 4L * s[0], 5L * s[0] * s[1]);
}
