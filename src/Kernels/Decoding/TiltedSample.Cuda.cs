using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private const int TokensPerChunk = 4096, FloatsPerPart = 4;   // CHUNK and Part of tilted_row.cuh

    private protected override void TiltedSampleCore(
        Tensor refLogits, Tensor candidates, Tensor valueLogits, Tensor weights, Tensor prefixTilt, Tensor streams, Tensor positions,
        GuidanceRule rule, ulong key, Tensor next, Tensor chosen, Tensor statistics)
    {
        int rows = refLogits.Shape.Rows, columns = refLogits.Shape.Last, listed = candidates.IsNone ? 0 : candidates.Shape.Last;
        int slots = rule.IsGuided ? listed : 0, chunks = Blocks(columns, TokensPerChunk), parts = rows * chunks * FloatsPerPart;
        int greedy = rule.Temperature == 0 ? 1 : 0, tiltsFirst = rule.IsGuided && rule.Order == Order.TiltThenTemper ? 1 : 0;
        float scale = greedy == 1 ? 1 : 1 / rule.Temperature;
        ReturnFamily family = rule.Family;
        Tensor scratch = device.Scratch(2 * parts + 2 * rows), all = scratch.Range(0, parts), kept = all, supports = Tensor.None;
        Kernel chunk = Load("tilted_chunks", "tilted_chunks");
        chunk.Launch((rows, chunks), Threads, 0, refLogits, candidates, streams, positions, supports, key, scale, greedy, all, columns, slots);
        if (rule.TopP < 1)
        {
            kept = scratch.Range(parts, parts);
            supports = scratch.Range(2 * parts, 2 * rows);
            Load("tilted_nucleus", "tilted_nucleus").Launch(
                rows, SelectThreads, slots * sizeof(float), refLogits, candidates, valueLogits, weights, WeightStride(weights), prefixTilt, all, chunks,
                (int)rule.Tilt, family.Atoms, family.Min, family.Max, rule.Lambda, (int)rule.Outside, scale, rule.TopP, tiltsFirst,
                supports, columns, slots);
            chunk.Launch(
                (rows, chunks), Threads, 0, refLogits, candidates, streams, positions, supports, key, scale, greedy, kept, columns, slots);
        }
        const int FinishThreads = 128;
        Load("tilted_sample", "tilted_finish").Launch(
            rows, FinishThreads, slots * sizeof(float), refLogits, candidates, valueLogits, weights, WeightStride(weights), prefixTilt, streams,
            positions, all, kept, supports, chunks, (int)rule.Tilt, family.Atoms, family.Min, family.Max, rule.Lambda, (int)rule.Outside, scale, tiltsFirst,
            greedy, key, next, chosen, statistics, columns, slots, listed);
    }

    /// <summary>From a row's log-weights to the next one's; 0 where all rows have the same.</summary>
    private static int WeightStride(Tensor weights) => weights.IsNone || weights.Shape.Rows == 1 ? 0 : weights.Shape.Last;
}
