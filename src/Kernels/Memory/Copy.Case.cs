using QSharp.Engine;

namespace QSharp.Kernels;

internal sealed class CopyCase : OpCase
{
    public override string Name => "copy";

    public override bool HasActivations => true;

    public override IReadOnlyList<CaseShape> Shapes { get; } =
        [new("activations", 2048, 256), new("odd", 3, 17), new("one", 1, 1), new("long row", 1, 257), new("empty", 0, 8)];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
        [new("floats", (s[0], s[1]), Activations), new("ints", (s[0], s[1]), DType.I32) { Draw = Draws.Integer(-100, 100) }];

    // The destination may have another shape.
    public override IReadOnlyList<Operand> Outputs(CaseShape s) =>
        [new("float copy", s[0] * s[1], Activations), new("int copy", (s[1], s[0]), DType.I32)];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs)
    {
        ops.Copy(inputs[0], outputs[0]);
        ops.Copy(inputs[1], outputs[1]);
    }

    public override double[][] Oracle(CaseShape s, double[][] inputs) => inputs;

    public override Cost Cost(CaseShape s) => new((2L * Activations.Size() + 8) * s[0] * s[1], 0);
}
