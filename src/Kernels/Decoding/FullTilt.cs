using System.Runtime.CompilerServices;

using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>The tilt of every token, as <see cref="AtomTilt"/> has it: for the naive chain over the full vocabulary.</summary>
    /// <param name="valueLogits">[B, n, A, W] in tiles, as for <see cref="FullTiltedSample"/>.</param>
    /// <param name="valueBias">[B, A] or None.</param>
    /// <param name="weights">For <see cref="Tilt.Weighted"/>: [B, R] or [1, R], as for <see cref="AtomTilt"/>; else None.</param>
    /// <param name="g">[B, V].</param>
    public void FullTilt(Tensor valueLogits, Tensor valueBias, ReturnFamily family, Tilt tilt, float lambda, Tensor weights, Tensor g)
    {
        int rows = g.Shape.Rows, vocabulary = g.Shape.Last;
        RequireFamily(family, lambda);
        Require(g, rows, vocabulary);
        if (rows == 0) return;
        TokenTiles tiles = RequireTiles(valueLogits, valueBias, rows, vocabulary, family.Atoms, nameof(FullTilt));
        RequireWeights(tilt, family, weights, rows);
        using OpSpan traced = Traced(valueLogits, valueBias, g);
        FullTiltCore(valueLogits, valueBias, tiles, family, tilt, lambda, weights, g);
    }

    private protected abstract void FullTiltCore(
        Tensor valueLogits, Tensor valueBias, TokenTiles tiles, ReturnFamily family, Tilt tilt, float lambda, Tensor weights, Tensor g);
}

public sealed unsafe partial class CpuOps
{
    private protected override void FullTiltCore(
        Tensor valueLogits, Tensor valueBias, TokenTiles tiles, ReturnFamily family, Tilt tilt, float lambda, Tensor weights, Tensor g) =>
        _workers.For(g.Shape.Rows, Grain(10L * tiles.Atoms * g.Shape.Last), new FullTiltWork(
            valueLogits.Floats(), valueBias.Floats(), tiles, family, tilt, lambda, new WeightTable(weights), g.Floats(), g.Shape.Last));

    private readonly struct FullTiltWork(
        float* logits, float* bias, TokenTiles tiles, ReturnFamily family, Tilt tilt, float lambda, WeightTable weights,
        float* g, int vocabulary) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            for (int row = begin; row < end; row++) Row(row);
        }

        [SkipLocalsInit]
        [MethodImpl(MethodImplOptions.NoInlining)]
        private void Row(int row)
        {
            float* scratch = stackalloc float[tiles.Atoms];
            new TileTilts(
                logits + row * tiles.RowLength, bias is null ? null : bias + (long)row * tiles.Atoms, tiles, vocabulary,
                family, tilt, lambda, weights.Row(row), scratch).All(g + (long)row * vocabulary);
        }
    }
}
