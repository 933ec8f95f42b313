using System.Diagnostics;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

namespace QSharp.Cli.Speed;

/// <summary>What choosing the token adds to the product that makes its logits.</summary>
/// <param name="Product">Microseconds of the head's product alone.</param>
/// <param name="Drawn">The same and the draw of a token, unguided.</param>
/// <param name="Tilted">The same, the K candidates and the fused tilt, whose value logits are there already.</param>
internal sealed record HeadTiming(double Product, double Drawn, double Tilted)
{
    private const int WarmUps = 3;

    /// <summary>Times the three in turn, so that a change of the clock hits them alike; on a card each is a recorded step.</summary>
    public static HeadTiming Of(LanguageModel model, int rows, int candidates, int runs, CancellationToken stop)
    {
        Ops ops = model.Ops;
        int vocabulary = model.Config.Vocab, k = Math.Min(candidates, vocabulary);
        ((Tensor hidden, Tensor logits, Tensor slots, Tensor values, Tensor streams, Tensor positions, Tensor next, Tensor chosen, Tensor statistics), DeviceBuffer memory) =
            Arena.Build(ops.Device, arena => (
                arena.Take((rows, model.Config.Width), model.ActivationType), arena.Take((rows, vocabulary)), arena.Take((rows, k), DType.I32),
                arena.Take((rows, k)), arena.Take(rows, DType.I32), arena.Take(rows, DType.I32), arena.Take(rows, DType.I32),
                arena.Take(rows, DType.I32), arena.Take((rows, SampleStatistics.Count))));
        using DeviceBuffer owned = memory;
        ops.Fill(hidden, 0.5f);
        ops.Fill(values, 0f);
        ops.Fill(streams, 0);
        ops.Fill(positions, 0);
        GuidanceRule tilt = new(Tilt.LogMeanExp, ReturnFamily.Bernoulli, 10, Outside.Min), alone = GuidanceRule.Reference();
        using RecordedStep product = ops.Device.Record(Product), drawn = ops.Device.Record(Draw), tilted = ops.Device.Record(Guide);
        RecordedStep[] contestants = [product, drawn, tilted];
        double[][] times = [.. contestants.Select(_ => new double[runs])];
        for (int run = -WarmUps; run < runs; run++)
        {
            stop.ThrowIfCancellationRequested();
            for (int c = 0; c < contestants.Length; c++)
            {
                ops.Device.Synchronize();
                long start = Stopwatch.GetTimestamp();
                contestants[c].Run();
                ops.Device.Synchronize();
                if (run >= 0) times[c][run] = Stopwatch.GetElapsedTime(start).TotalMicroseconds;
            }
        }
        double[] medians = [.. times.Select(DecodeSpeed.Median)];
        return new HeadTiming(medians[0], medians[1], medians[2]);

        void Product() => model.Head.Forward(hidden, Tensor.None, logits);

        void Draw()
        {
            Product();
            ops.TiltedSample(logits, Tensor.None, Tensor.None, Tensor.None, Tensor.None, streams, positions, alone, 1, next, Tensor.None, statistics);
        }

        void Guide()
        {
            Product();
            ops.TopK(logits, slots, Tensor.None);
            ops.TiltedSample(logits, slots, values, Tensor.None, Tensor.None, streams, positions, tilt, 1, next, chosen, statistics);
        }
    }
}
