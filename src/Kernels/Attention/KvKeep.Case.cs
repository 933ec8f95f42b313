using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>Sizes: R, P, G·D.</summary>
internal sealed class KvKeepCase : OpCase
{
    public override string Name => "kv_keep";

    public override bool HasActivations => true;

    public override IReadOnlyList<CaseShape> Shapes { get; } =
        [new("decode step", 128, 48, 64), new("odd", 17, 11, 3), new("one", 1, 1, 1), new("no rows", 0, 8, 8)];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("keysBefore", (s[0], s[1], s[2]), Activations),
        new("valuesBefore", (s[0], s[1], s[2]), Activations),
        new("lengths", s[0], DType.I32) { Draw = Draws.Fixed(r => r * 3 % s[1]) },
        // In turn none, the first and the last that fits.
        new("chosen", s[0], DType.I32) { Draw = Draws.Fixed(r => (r % 3) switch { 0 => -1, 1 => 0, _ => s[1] - 1 - r * 3 % s[1] }) },
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) =>
    [
        new("keys", (s[0], s[1], s[2]), Activations) { StartsAs = "keysBefore" },
        new("values", (s[0], s[1], s[2]), Activations) { StartsAs = "valuesBefore" },
    ];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.KvKeep(outputs[0], outputs[1], inputs[2], inputs[3]);

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        double[] keys = [.. inputs[0]], values = [.. inputs[1]];
        for (int r = 0; r < s[0]; r++)
        {
            int length = (int)inputs[2][r], chosen = (int)inputs[3][r];
            for (int c = 0; c < s[2] && chosen >= 0; c++)
            {
                keys[(r * s[1] + length) * s[2] + c] = inputs[0][(r * s[1] + length + chosen) * s[2] + c];
                values[(r * s[1] + length) * s[2] + c] = inputs[1][(r * s[1] + length + chosen) * s[2] + c];
            }
        }
        return [keys, values];
    }

    public override Cost Cost(CaseShape s) => new(4L * Activations.Size() * s[0] * s[2], 0);
}
