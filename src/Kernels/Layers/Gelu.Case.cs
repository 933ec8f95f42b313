using QSharp.Engine;

namespace QSharp.Kernels;

internal sealed class GeluCase : OpCase
{
    public override string Name => "gelu";

    public override bool HasActivations => true;

    public override IReadOnlyList<CaseShape> Shapes { get; } =
        [new("training step", 2048, 256), new("odd", 3, 17), new("one", 1, 1), new("long row", 1, 257), new("empty", 0, 8)];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) => [new("x", (s[0], s[1]), Activations) { Gradient = Gradient.Written, Draw = Draws.Normal(3) }];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) => [new("y", (s[0], s[1]), Activations) { IsDifferentiable = true }];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) => ops.Gelu(inputs[0], outputs[0]);

    public override void RunBackward(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs, ReadOnlySpan<Tensor> outputGradients, ReadOnlySpan<Tensor> inputGradients) =>
        ops.GeluBackward(outputGradients[0], inputs[0], inputGradients[0]);

    public override double[][] Oracle(CaseShape s, double[][] inputs) =>
        [[.. inputs[0].Select(x => x / 2 * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x))))]];

    public override Cost Cost(CaseShape s) => new(2L * Activations.Size() * s[0] * s[1], 20L * s[0] * s[1]);
}
