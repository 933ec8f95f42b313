using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private const int FloatsPerFullPart = 12;   // FullPart of full_tilted_sample.cu, whose CHUNK is that of tilted_row.cuh

    private protected override void FullTiltedSampleCore(
        Tensor refLogits, Tensor valueLogits, Tensor valueBias, TokenTiles tiles, Tensor weights, Tensor prefixTilt, Tensor streams, Tensor positions,
        GuidanceRule rule, ulong key, Tensor orders, Tensor next, Tensor statistics)
    {
        int rows = refLogits.Shape.Rows, columns = refLogits.Shape.Last;
        int chunks = Blocks(columns, TokensPerChunk), parts = rows * chunks * FloatsPerFullPart;
        int greedy = rule.Temperature == 0 ? 1 : 0, tiltsFirst = rule.Order == Order.TiltThenTemper ? 1 : 0;
        float scale = greedy == 1 ? 1 : 1 / rule.Temperature;
        ReturnFamily family = rule.Family;
        Tensor scratch = device.Scratch(2 * parts + 2 * rows), all = scratch.Range(0, parts), kept = all;
        if (rule.TopP < 1)
        {
            kept = scratch.Range(parts, parts);
            Tensor supports = scratch.Range(2 * parts, 2 * rows), cut = rule.CutsTilted ? orders : Tensor.None;
            Chunks(rule.CutsTilted ? rule.Tilt : Tilt.None, rule.CutsTilted ? weights : Tensor.None, cut, Tensor.None, all);
            Load("full_tilted_sample", "full_tilt_nucleus").Launch(rows, SelectThreads, 0, refLogits, cut, scale, rule.TopP, supports, columns);
            Chunks(rule.Tilt, weights, cut, supports, kept);
        }
        else
        {
            Chunks(rule.Tilt, weights, Tensor.None, Tensor.None, all);
        }
        const int FinishThreads = 128;
        Load("full_tilted_sample", "full_tilt_finish").Launch(
            rows, FinishThreads, 0, refLogits, valueLogits, valueBias, weights, WeightStride(weights), prefixTilt, all, kept, chunks, (int)rule.Tilt,
            family.Atoms, family.Min, family.Max, rule.Lambda, scale, tiltsFirst, next, statistics, columns, tiles.Count, tiles.Width);

        void Chunks(Tilt tilt, Tensor table, Tensor made, Tensor within, Tensor result) => Load("full_tilted_sample", "full_tilt_chunks").Launch(
            (rows, chunks), Threads, 0, refLogits, valueLogits, valueBias, table, WeightStride(table), streams, positions, made, within, (int)tilt,
            family.Atoms, family.Min, family.Max, rule.Lambda, scale, tiltsFirst, greedy, key, result, columns, tiles.Count, tiles.Width);
    }
}
