using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>Sizes: elements, the step t, 1000 · the clipping factor (−1: no clip tensor), whether there is a rounded copy.</summary>
/// <param name="roundsStochastically">Whether that copy is rounded by chance.</param>
internal sealed class AdamWCase(string suffix, bool roundsStochastically) : OpCase
{
    private const float Rate = 0.01f;
    private readonly AdamWSettings _settings = new(0.9f, 0.95f, 1e-8f, 0.1f, roundsStochastically);

    public override string Name => "adam_w" + suffix;

    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("a model", 500_000, 10, 500, 0), new("odd", 257, 1, 250, 1), new("short", 3, 1000, -1, 1), new("one", 1, 2, 1000, 0),
        new("whole pieces", 1032, 5, -1, 1), new("a step without gradient", 17, 3, 0, 1), new("empty", 0, 1, -1, 1),
    ];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("w", s[0]),
        new("gradients", s[0])
        {
            Draw = (ref PhiloxStream random, int index) => s[2] == 0 && index % 5 == 0 ? double.NaN : random.NextNormal(),
        },
        new("m", s[0]) { Draw = Draws.Normal(0.5) },
        new("v", s[0]) { Draw = Draws.Uniform(0.01, 1) },
        new("schedule", 4)
        {
            Draw = Draws.Fixed(index => index switch { 0 => Rate, 1 => 1 - Math.Pow(0.9f, s[1]), 2 => 1 - Math.Pow(0.95f, s[1]), _ => s[1] }),
        },
        new("clip", 2) { Draw = Draws.Fixed(index => index == 0 ? 7 : s[2] / 1000.0) },
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s)
    {
        Operand w = new("new w", s[0]) { StartsAs = "w" }, m = new("new m", s[0]) { StartsAs = "m" }, v = new("new v", s[0]) { StartsAs = "v" };
        return s[3] == 0 ? [w, m, v] : [w, m, v, new("rounded", s[0], DType.BF16)];
    }

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.AdamW(
            outputs[0], inputs[1], outputs[1], outputs[2], _settings, inputs[4], s[2] < 0 ? Tensor.None : inputs[5],
            s[3] == 0 ? Tensor.None : outputs[3]);

    public override double[][] Oracle(CaseShape s, double[][] inputs)
    {
        double[] w = [.. inputs[0]], m = [.. inputs[2]], v = [.. inputs[3]];
        for (int i = 0; i < w.Length; i++)
        {
            double g = s[2] < 0 ? inputs[1][i] : s[2] == 0 ? 0 : inputs[1][i] * inputs[5][1];
            m[i] = _settings.Beta1 * m[i] + (1 - (double)_settings.Beta1) * g;
            v[i] = _settings.Beta2 * v[i] + (1 - (double)_settings.Beta2) * g * g;
            double mean = m[i] / inputs[4][1], square = v[i] / inputs[4][2];
            w[i] -= inputs[4][0] * (mean / (Math.Sqrt(square) + _settings.Epsilon) + _settings.WeightDecay * w[i]);
        }
        double[] rounded = [.. w.Select((value, i) => (double)BFloat16.Widen(Round((float)value, i, s[1])))];
        return s[3] == 0 ? [w, m, v] : [w, m, v, rounded];
    }

    private ushort Round(float value, int index, int step)
    {
        if (!roundsStochastically) return BFloat16.Round(value);
        (uint x0, uint x1, uint x2, uint x3) = Philox.Block(0x646E756F72, (uint)index / 4, 0, (uint)step, 0);
        return StochasticRounding.Round(value, new[] { x0, x1, x2, x3 }[index % 4]);
    }

    public override Cost Cost(CaseShape s) => new((28L + 2 * s[3]) * s[0], 14L * s[0]);
}
