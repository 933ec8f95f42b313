using QSharp.Engine;

namespace QSharp.Kernels;

internal sealed class SampleRowCase : OpCase
{
    private const ulong Key = 0x0123456789ABCDEF;

    public override string Name => "sample_row";

    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("decode step", 32, 32000), new("odd", 17, 257), new("small", 257, 3), new("one", 1, 1),
        new("large vocabulary", 2, 151936), new("empty", 0, 8),
    ];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("scores", (s[0], s[1])) { Draw = LogSoftmaxCase.Masked },
        new("streams", s[0], DType.I32) { Draw = Draws.Fixed(row => row) },
        new("positions", s[0], DType.I32) { Draw = Draws.Integer(0, 4000) },
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) => [new("next", s[0], DType.I32)];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.SampleRow(inputs[0], inputs[1], inputs[2], Key, outputs[0]);

    public override double[][] Oracle(CaseShape s, double[][] inputs) =>
        [[.. inputs[0].Chunk(s[1]).Select((row, b) => (double)SamplingOracle.Draw(row, Key, (int)inputs[1][b], (int)inputs[2][b]))]];

    public override Cost Cost(CaseShape s) => new(4L * s[0] * s[1], 20L * s[0] * s[1]);
}
