using QSharp.Engine;

namespace QSharp.Kernels;

internal sealed class FillCase : OpCase
{
    public override string Name => "fill";

    public override bool HasActivations => true;

    public override IReadOnlyList<CaseShape> Shapes { get; } =
        [new("activations", 2048, 256), new("odd", 3, 17), new("one", 1, 1), new("long row", 1, 257), new("empty", 0, 8)];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) => [];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) => [new("floats", (s[0], s[1]), Activations), new("ints", (s[0], s[1]), DType.I32)];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs)
    {
        ops.Fill(outputs[0], -1.5f);
        ops.Fill(outputs[1], -7);
    }

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        int count = s[0] * s[1];
        return [[.. Enumerable.Repeat(-1.5, count)], [.. Enumerable.Repeat(-7.0, count)]];
    }

    public override Cost Cost(CaseShape s) => new((Activations.Size() + 4L) * s[0] * s[1], 0);
}
