using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>Sizes: R, S, P, H, G, D, the layout, and whether there are counts.</summary>
internal sealed class CachedAttentionCase : OpCase
{
    private const int Sequence = (int)CacheLayout.Sequence, Prompt = (int)CacheLayout.Prompt, Siblings = (int)CacheLayout.Siblings;

    public override string Name => "cached_attention";

    public override bool HasActivations => true;

    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("decode step", 128, 1, 40, 4, 4, 16, Sequence, 0), new("siblings", 32, 10, 48, 4, 4, 16, Siblings, 0),
        new("few siblings", 5, 3, 12, 4, 2, 8, Siblings, 1), new("prompt", 6, 17, 30, 4, 2, 16, Prompt, 1),
        new("short prompt", 5, 2, 9, 2, 1, 3, Prompt, 1), new("sequence", 6, 17, 31, 4, 1, 8, Sequence, 1),
        new("two tiles", 2, 41, 130, 2, 1, 8, Sequence, 1), new("siblings in tiles", 2, 35, 140, 2, 1, 3, Siblings, 1),
        new("odd", 3, 3, 17, 3, 1, 3, Sequence, 1), new("grouped decode", 3, 1, 17, 8, 2, 24, Sequence, 1),
        new("long row", 1, 1, 700, 2, 2, 16, Sequence, 0), new("long grouped row", 1, 1, 257, 4, 1, 5, Siblings, 0),
        new("grouped, odd", 4, 1, 19, 6, 2, 40, Sequence, 0), new("three heads a group", 2, 1, 301, 6, 2, 64, Sequence, 0),
        new("split siblings", 5, 5, 700, 2, 1, 16, Siblings, 1), new("wide heads", 2, 1, 9, 2, 2, 136, Prompt, 0),
        new("no rows", 0, 1, 8, 2, 2, 8, Sequence, 0), new("one", 1, 1, 1, 1, 1, 1, Sequence, 0),
    ];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("qkv", (s[0] * s[1], (s[3] + 2 * s[4]) * s[5]), Activations) { Draw = Draws.Normal(1.5) },
        new("keys", (s[0], s[2], s[4] * s[5]), Activations),
        new("values", (s[0], s[2], s[4] * s[5]), Activations),
        new("lengths", s[0], DType.I32) { Draw = Draws.Fixed(r => Length(s, r)) },
        new("counts", s[0], DType.I32) { Draw = Draws.Fixed(r => Count(s, r)) },
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) => [new("y", (s[0] * s[1], s[3] * s[5]), Activations)];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.CachedAttention(
            inputs[0], inputs[1], inputs[2], inputs[3], s[7] == 0 ? Tensor.None : inputs[4], s[3], s[4], (CacheLayout)s[6], outputs[0]);

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        int tokens = s[1], capacity = s[2], heads = s[3], kvHeads = s[4], dim = s[5], width = (heads + 2 * kvHeads) * dim;
        double[] y = new double[s[0] * tokens * heads * dim];
        for (int r = 0; r < s[0]; r++)
        {
            int length = (int)inputs[3][r], count = (int)inputs[4][r];
            for (int t = 0; t < count; t++)
            {
                for (int h = 0; h < heads; h++)
                {
                    int g = h / (heads / kvHeads);
                    double[] scores = new double[capacity];
                    double sum = 0;
                    for (int column = 0; column < capacity; column++)
                    {
                        scores[column] = double.NegativeInfinity;
                        if (!Sees(s[6], length, count, t, column)) continue;
                        double score = 0;
                        for (int d = 0; d < dim; d++)
                            score += inputs[0][(r * tokens + t) * width + h * dim + d]
                                * inputs[1][((r * capacity + column) * kvHeads + g) * dim + d];
                        scores[column] = score / Math.Sqrt(dim);
                        sum += Math.Exp(scores[column]);
                    }
                    for (int column = 0; column < capacity; column++)
                        for (int d = 0; d < dim; d++)
                            y[((r * tokens + t) * heads + h) * dim + d] +=
                                Math.Exp(scores[column]) / sum * inputs[2][((r * capacity + column) * kvHeads + g) * dim + d];
                }
            }
        }
        return [y];
    }

    public override Cost Cost(CaseShape s)
    {
        long columns = 0, pairs = 0;
        for (int r = 0; r < s[0]; r++)
        {
            columns += Length(s, r) + Count(s, r);
            pairs += (long)(Length(s, r) + 1) * Count(s, r);
        }
        return new(Activations.Size() * (columns * 2 * s[4] * s[5] + 2L * s[0] * s[1] * s[3] * s[5]), pairs * 4 * s[3] * s[5]);
    }

    private static bool Sees(int layout, int length, int count, int token, int column) => layout switch
    {
        Sequence => column <= length + token,
        Prompt => column < length + count,
        _ => column < length || column == length + token,
    };

    /// <summary>Every token, or in turn none, all and fewer.</summary>
    private static int Count(CaseShape s, int row) => s[7] == 0 ? s[1] : (row + 1) * 7 % (s[1] + 1);

    /// <summary>In turn nothing, as much as fits, and less.</summary>
    private static int Length(CaseShape s, int row)
    {
        int most = s[2] - s[1];
        return s[0] == 1 ? most : (row % 3) switch { 0 => 0, 1 => most, _ => (row * 5 + 3) % (most + 1) };
    }
}
