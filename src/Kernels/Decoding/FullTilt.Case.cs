using QSharp.Engine;

namespace QSharp.Kernels;

internal sealed class FullTiltCase(string suffix, ReturnFamily family, Tilt tilt, float lambda) : OpCase
{
    public override string Name => "full_tilt" + suffix;

    // B, V, W.
    public override IReadOnlyList<CaseShape> Shapes { get; } =
    [
        new("decode step", 2, 4096, 128), new("odd", 3, 129, 128), new("less than a tile", 2, 127, 128), new("one tile", 3, 130, 130),
        new("one tile, odd", 2, 67, 67), new("one", 1, 1, 1), new("empty", 0, 8, 128),
    ];

    public override IReadOnlyList<Operand> Inputs(CaseShape s) =>
        [TileCase.Logits(s[0], s[1], s[2], family, 4), TileCase.Bias(s[0], family), .. WeightTables.Operand(tilt, family, s[0])];

    public override IReadOnlyList<Operand> Outputs(CaseShape s) => [new("g", (s[0], s[1]))];

    public override void Run(Ops ops, CaseShape s, ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs) =>
        ops.FullTilt(inputs[0], inputs[1], family, tilt, lambda, WeightTables.Of(inputs, 2), outputs[0]);

    public override double[][] Oracle(CaseShape s, double[][] inputs) =>
    [
        [.. Enumerable.Range(0, s[0]).SelectMany(row => TileCase.Tokens(inputs[0], inputs[1], s[0], row, s[1], s[2], family)
            .Select(atoms => SamplingOracle.Tilt(atoms, family, tilt, lambda, WeightTables.Row(inputs, 2, family, row))))],
    ];

    public override Cost Cost(CaseShape s) => new(4L * s[0] * s[1] * (family.Atoms + 1), 20L * s[0] * s[1] * family.Atoms);
}

/// <summary>Value logits in tiles, as the cases that read them draw and unpack them.</summary>
internal static class TileCase
{
    public static Operand Logits(int rows, int vocabulary, int width, ReturnFamily family, double deviation)
    {
        int tiles = (vocabulary + width - 1) / width, perTile = family.Atoms * width;
        return new("valueLogits", (rows, tiles, family.Atoms, width))
        {
            // What lies past the vocabulary counts for nothing, whatever it is.
            Draw = (ref PhiloxStream random, int index) => index / perTile % tiles * width + index % width < vocabulary
                ? deviation * random.NextNormal() : double.NaN,
        };
    }

    public static Operand Bias(int rows, ReturnFamily family) => new("valueBias", (rows, family.Atoms));

    /// <summary>The logits of each of a row's tokens, [V][A].</summary>
    public static double[][] Tokens(double[] logits, double[] bias, int rows, int row, int vocabulary, int width, ReturnFamily family)
    {
        int atoms = family.Atoms, first = logits.Length / rows * row;
        return [.. Enumerable.Range(0, vocabulary).Select(token => Enumerable.Range(0, atoms)
            .Select(a => logits[first + (token / width * atoms + a) * width + token % width] + bias[row * atoms + a]).ToArray())];
    }
}
