using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>Sizes: R, S, P, H, G, D, and whether there are counts.</summary>
internal sealed class KvWriteCase : OpCase
{
    public override string Name => "kv_write";

    public override bool HasActivations => true;

    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("decode step", 128, 1, 40, 4, 4, 16, 0), new("prompt", 5, 17, 30, 4, 2, 8, 1), new("odd", 3, 3, 3, 3, 1, 3, 1),
        new("long", 1, 257, 257, 1, 1, 1, 0), new("no rows", 0, 1, 8, 2, 2, 8, 0),
    ];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("qkv", (s[0] * s[1], (s[3] + 2 * s[4]) * s[5]), Activations),
        new("lengths", s[0], DType.I32) { Draw = Draws.Fixed(r => r * 3 % (s[2] - s[1] + 1)) },
        new("counts", s[0], DType.I32) { Draw = Draws.Fixed(r => s[6] == 0 ? s[1] : (r + 1) * 7 % (s[1] + 1)) },
        new("keysBefore", (s[0], s[2], s[4] * s[5]), Activations),
        new("valuesBefore", (s[0], s[2], s[4] * s[5]), Activations),
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) =>
    [
        new("keys", (s[0], s[2], s[4] * s[5]), Activations) { StartsAs = "keysBefore" },
        new("values", (s[0], s[2], s[4] * s[5]), Activations) { StartsAs = "valuesBefore" },
    ];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.KvWrite(inputs[0], s[3], s[4], inputs[1], s[6] == 0 ? Tensor.None : inputs[2], outputs[0], outputs[1]);

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        int tokens = s[1], capacity = s[2], query = s[3] * s[5], column = s[4] * s[5], width = query + 2 * column;
        double[] keys = [.. inputs[3]], values = [.. inputs[4]];
        for (int r = 0; r < s[0]; r++)
        {
            for (int t = 0; t < (int)inputs[2][r]; t++)
            {
                int to = (r * capacity + (int)inputs[1][r] + t) * column, from = (r * tokens + t) * width + query;
                for (int c = 0; c < column; c++)
                {
                    keys[to + c] = inputs[0][from + c];
                    values[to + c] = inputs[0][from + column + c];
                }
            }
        }
        return [keys, values];
    }

    public override Cost Cost(CaseShape s) => new(4L * Activations.Size() * s[0] * s[1] * s[4] * s[5], 0);
}
