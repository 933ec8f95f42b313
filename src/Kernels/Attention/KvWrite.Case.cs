using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>Sizes: R, S, P, H, G, D, whether there are counts, and whether positions are rotary.</summary>
internal sealed class KvWriteCase : OpCase
{
    public override string Name => "kv_write";

    public override bool HasActivations => true;

    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("decode step", 128, 1, 40, 4, 4, 16, 0, 1), new("prompt", 5, 17, 30, 4, 2, 8, 1, 1), new("odd", 3, 3, 3, 3, 1, 3, 1, 0),
        new("large", 3, 1, 5, 32, 8, 128, 0, 1), new("odd pairs", 3, 3, 7, 3, 1, 26, 1, 1), new("not turned", 17, 2, 9, 4, 2, 16, 0, 0),
        new("long", 1, 257, 257, 1, 1, 1, 0, 0), new("smallest", 1, 1, 1, 1, 1, 2, 0, 1), new("no rows", 0, 1, 8, 2, 2, 8, 0, 1),
    ];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("qkvBefore", (s[0] * s[1], (s[3] + 2 * s[4]) * s[5]), Activations),
        new("lengths", s[0], DType.I32) { Draw = Draws.Fixed(r => r * 3 % (s[2] - s[1] + 1)) },
        new("counts", s[0], DType.I32) { Draw = Draws.Fixed(r => s[6] == 0 ? s[1] : (r + 1) * 7 % (s[1] + 1)) },
        new("keysBefore", (s[0], s[2], s[4] * s[5]), Activations),
        new("valuesBefore", (s[0], s[2], s[4] * s[5]), Activations),
        new("positions", s[0] * s[1], DType.I32) { Draw = (ref PhiloxStream random, int index) => index == 0 ? 131072 : random.NextInt(131072) },
        new("frequencies", s[5] / 2) { Draw = Draws.Fixed(index => RopeFrequencies.Compute(s[5] / 2 * 2, 10000, null)[index]) },
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) =>
    [
        new("qkv", (s[0] * s[1], (s[3] + 2 * s[4]) * s[5]), Activations) { StartsAs = "qkvBefore" },
        new("keys", (s[0], s[2], s[4] * s[5]), Activations) { StartsAs = "keysBefore" },
        new("values", (s[0], s[2], s[4] * s[5]), Activations) { StartsAs = "valuesBefore" },
    ];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs)
    {
        bool turns = s[7] != 0;
        ops.KvWrite(
            outputs[0], s[3], s[4], turns ? inputs[5] : Tensor.None, turns ? inputs[6] : Tensor.None, inputs[1],
            s[6] == 0 ? Tensor.None : inputs[2], outputs[1], outputs[2]);
    }

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        int tokens = s[1], capacity = s[2], query = s[3] * s[5], column = s[4] * s[5], width = query + 2 * column;
        double[] qkv = [.. inputs[0]], keys = [.. inputs[3]], values = [.. inputs[4]];
        for (int r = 0; r < s[0]; r++)
        {
            for (int t = 0; t < (int)inputs[2][r]; t++)
            {
                int token = r * tokens + t, to = (r * capacity + (int)inputs[1][r] + t) * column;
                double[] turned = inputs[0][(token * width)..((token + 1) * width)];
                for (int i = 0; i < query + column && s[7] != 0; i++)
                {
                    int half = s[5] / 2, pair = i % half, partner = i % s[5] < half ? i + half : i - half;
                    double angle = inputs[5][token] * inputs[6][pair], sign = partner > i ? -1 : 1;
                    turned[i] = inputs[0][token * width + i] * Math.Cos(angle) + sign * inputs[0][token * width + partner] * Math.Sin(angle);
                }
                turned.AsSpan(0, query).CopyTo(qkv.AsSpan(token * width));
                turned.AsSpan(query, column).CopyTo(keys.AsSpan(to));
                turned.AsSpan(query + column, column).CopyTo(values.AsSpan(to));
            }
        }
        return [qkv, keys, values];
    }

    public override Cost Cost(CaseShape s)
    {
        long tokens = (long)s[0] * s[1], turned = s[7] == 0 ? 0 : s[3] + s[4];
        return new(2L * Activations.Size() * tokens * (2 * s[4] + (s[7] == 0 ? 0 : s[3])) * s[5], 6 * tokens * turned * s[5] / 2);
    }
}
