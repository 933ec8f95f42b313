using QSharp.Engine;

namespace QSharp.Kernels;

internal sealed class LogSoftmaxCase : OpCase
{
    private const double Temperature = 0.8;

    public override string Name => "log_softmax";

    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("decode step", 8, 32000), new("odd", 3, 257), new("seventeen", 17, 17), new("one", 1, 1), new("long row", 1, 151936),
        new("empty", 0, 8),
    ];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) => [new("logits", (s[0], s[1])) { Draw = Masked }];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) => [new("y", (s[0], s[1]))];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.LogSoftmax(inputs[0], (float)Temperature, outputs[0]);

    public override double[][] Oracle(CaseShape s, double[][] inputs) =>
        [[.. inputs[0].Chunk(s[1]).SelectMany(row => SamplingOracle.LogSoftmax(row, (float)Temperature))]];

    public override Cost Cost(CaseShape s) => new(8L * s[0] * s[1], 10L * s[0] * s[1]);

    /// <summary>Logits far from 0, one in seven masked, the first never.</summary>
    internal static double Masked(ref PhiloxStream random, int index)
    {
        double value = 200 + 4 * random.NextNormal();
        return random.NextInt(7) == 0 && index > 0 ? double.NegativeInfinity : value;
    }
}
