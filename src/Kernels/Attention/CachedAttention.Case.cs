using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>Sizes: R, S, P, H, G, D, the layout, whether there are counts, and prompts (0: none) and the columns that they have room for.</summary>
internal sealed class CachedAttentionCase : OpCase
{
    private const int Sequence = (int)CacheLayout.Sequence, Prompt = (int)CacheLayout.Prompt, Siblings = (int)CacheLayout.Siblings;

    public override string Name => "cached_attention";

    public override bool HasActivations => true;

    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("decode step", 128, 1, 24, 4, 4, 16, Sequence, 0, 43, 40), new("siblings", 32, 10, 48, 4, 4, 16, Siblings, 0, 11, 30),
        new("few siblings", 5, 3, 12, 4, 2, 8, Siblings, 1, 0, 0), new("prompt", 6, 17, 30, 4, 2, 16, Prompt, 1, 0, 0),
        new("short prompt", 5, 2, 9, 2, 1, 3, Prompt, 1, 0, 0), new("sequence", 6, 17, 31, 4, 1, 8, Sequence, 1, 0, 0),
        new("two tiles", 2, 41, 130, 2, 1, 8, Sequence, 1, 0, 0), new("siblings in tiles", 2, 35, 140, 2, 1, 3, Siblings, 1, 0, 0),
        new("odd", 3, 3, 17, 3, 1, 3, Sequence, 1, 0, 0), new("grouped decode", 3, 1, 17, 8, 2, 24, Sequence, 1, 0, 0),
        new("long row", 1, 1, 700, 2, 2, 16, Sequence, 0, 0, 0), new("long grouped row", 1, 1, 257, 4, 1, 5, Siblings, 0, 0, 0),
        new("grouped, odd", 4, 1, 19, 6, 2, 40, Sequence, 0, 0, 0), new("three heads a group", 2, 1, 301, 6, 2, 64, Sequence, 0, 0, 0),
        new("split siblings", 5, 5, 700, 2, 1, 16, Siblings, 1, 0, 0), new("wide heads", 2, 1, 9, 2, 2, 136, Prompt, 0, 0, 0),
        new("no rows", 0, 1, 8, 2, 2, 8, Sequence, 0, 0, 0), new("one", 1, 1, 1, 1, 1, 1, Sequence, 0, 0, 0),
        new("one prompt for all", 70, 1, 9, 2, 1, 8, Sequence, 1, 1, 37), new("shared siblings", 5, 6, 20, 4, 2, 24, Siblings, 1, 2, 80),
        new("shared sequences", 7, 11, 30, 4, 1, 16, Sequence, 1, 3, 19), new("split prompts", 4, 1, 300, 2, 1, 64, Sequence, 0, 2, 400),
        new("shared, both ways", 5, 3, 17, 3, 1, 3, Prompt, 1, 2, 17), new("a prompt a row", 1, 1, 1, 1, 1, 1, Sequence, 0, 1, 1),
        new("shared tiles", 4, 9, 140, 8, 1, 40, Siblings, 0, 1, 140),
    ];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("qkv", (s[0] * s[1], (s[3] + 2 * s[4]) * s[5]), Activations) { Draw = Draws.Normal(1.5) },
        new("keys", (s[0], s[2], s[4] * s[5]), Activations),
        new("values", (s[0], s[2], s[4] * s[5]), Activations),
        new("lengths", s[0], DType.I32) { Draw = Draws.Fixed(r => Length(s, r)) },
        new("counts", s[0], DType.I32) { Draw = Draws.Fixed(r => Count(s, r)) },
        new("promptKeys", (s[8], s[9], s[4] * s[5]), Activations),
        new("promptValues", (s[8], s[9], s[4] * s[5]), Activations),
        new("promptLengths", s[8], DType.I32) { Draw = Draws.Fixed(prompt => PromptLength(s, prompt)) },
        new("promptOf", s[0], DType.I32) { Draw = Draws.Fixed(r => PromptOf(s, r)) },
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) => [new("y", (s[0] * s[1], s[3] * s[5]), Activations)];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.CachedAttention(
            inputs[0], s[8] == 0 ? default : new CachedPrompts(inputs[5], inputs[6], inputs[7], inputs[8]), inputs[1], inputs[2], inputs[3],
            s[7] == 0 ? Tensor.None : inputs[4], s[3], s[4], (CacheLayout)s[6], outputs[0]);

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        int tokens = s[1], heads = s[3], kvHeads = s[4], dim = s[5], width = (heads + 2 * kvHeads) * dim;
        double[] y = new double[s[0] * tokens * heads * dim];
        for (int r = 0; r < s[0]; r++)
        {
            int length = (int)inputs[3][r], count = (int)inputs[4][r], prompt = (int)inputs[8][r];
            for (int t = 0; t < count; t++)
            {
                // Where the columns that the token sees start in keys and values, those of the prompt first.
                List<(double[] Keys, double[] Values, int At)> columns = [];
                for (int c = 0; c < (s[8] == 0 ? 0 : (int)inputs[7][prompt]); c++)
                    columns.Add((inputs[5], inputs[6], (prompt * s[9] + c) * kvHeads * dim));
                for (int c = 0; c < s[2]; c++)
                    if (Sees(s[6], length, count, t, c)) columns.Add((inputs[1], inputs[2], (r * s[2] + c) * kvHeads * dim));
                for (int h = 0; h < heads; h++)
                {
                    int g = h / (heads / kvHeads) * dim, query = (r * tokens + t) * width + h * dim, to = ((r * tokens + t) * heads + h) * dim;
                    double[] weights = [.. columns.Select(column =>
                        Math.Exp(Enumerable.Range(0, dim).Sum(d => inputs[0][query + d] * column.Keys[column.At + g + d]) / Math.Sqrt(dim)))];
                    double sum = weights.Sum();
                    for (int i = 0; i < weights.Length; i++)
                        for (int d = 0; d < dim; d++) y[to + d] += weights[i] / sum * columns[i].Values[columns[i].At + g + d];
                }
            }
        }
        return [y];
    }

    public override Cost Cost(CaseShape s)
    {
        long columns = 0, pairs = 0;
        for (int prompt = 0; prompt < s[8]; prompt++) columns += PromptLength(s, prompt);
        for (int r = 0; r < s[0]; r++)
        {
            columns += Length(s, r) + Count(s, r);
            pairs += (long)(Length(s, r) + 1 + (s[8] == 0 ? 0 : PromptLength(s, PromptOf(s, r)))) * Count(s, r);
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

    /// <summary>In turn full, empty, and between.</summary>
    private static int PromptLength(CaseShape s, int prompt) => (prompt % 3) switch { 0 => s[9], 1 => 0, _ => (prompt * 5 + 3) % (s[9] + 1) };

    /// <summary>Three neighbours have one prompt; with fewer prompts than that needs, it comes again further on.</summary>
    private static int PromptOf(CaseShape s, int row) => row / 3 % Math.Max(1, s[8]);
}
