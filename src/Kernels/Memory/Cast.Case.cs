using QSharp.Engine;

namespace QSharp.Kernels;

internal sealed class CastCase : OpCase
{
    // Halfway between two neighbours, once up and once down to the even one; just above; beyond the largest; no number.
    private static readonly float[] _special = [1 + 1 / 256f, 1 + 3 / 256f, MathF.BitIncrement(1 + 1 / 256f), float.MaxValue, float.NegativeInfinity, float.NaN];

    public override string Name => "cast";

    public override IReadOnlyList<CaseShape> Shapes { get; } =
        [new("matrix", 2048, 256), new("odd", 3, 17), new("one", 1, 1), new("long row", 1, 2049), new("empty", 0, 8)];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
    [
        new("floats", (s[0], s[1]))
        {
            Draw = (ref PhiloxStream random, int index) => index % 9 == 0 ? _special[index / 9 % _special.Length] : random.NextNormal(),
        },
        new("halves", (s[0], s[1]), DType.BF16),
    ];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) => [new("rounded", (s[0], s[1]), DType.BF16), new("widened", (s[0], s[1]))];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs)
    {
        ops.Cast(inputs[0], outputs[0]);
        ops.Cast(inputs[1], outputs[1]);
    }

    public override double[][] Oracle(CaseShape s, double[][] inputs) => [[.. inputs[0].Select(Nearest)], inputs[1]];

    public override Cost Cost(CaseShape s) => new(12L * s[0] * s[1], 0);

    /// <summary>Eight bits of precision, by the rounding of float64 to a whole number.</summary>
    private static double Nearest(double x)
    {
        if (x == 0 || !double.IsFinite(x)) return x;
        double unit = Math.Pow(2, Math.Max(Math.ILogB(x), -126) - 7), nearest = Math.Round(x / unit, MidpointRounding.ToEven) * unit;
        return Math.Abs(nearest) < Math.Pow(2, 128) ? nearest : Math.CopySign(double.PositiveInfinity, x);
    }
}
