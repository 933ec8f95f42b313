using System.Diagnostics;

using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Cli.Speed;

/// <summary>What launches cost by themselves on a card, which bounds the gaps of a step from above.</summary>
/// <param name="Microseconds">Of each in a recorded step of kernels that write one number: the gap before it and its start and end.</param>
/// <param name="HostMicroseconds">Of the host's part between two steps: a small copy to the card (which rows go on) and one from it (what was drawn), each waited for.</param>
internal sealed record LaunchCost(double Microseconds, double HostMicroseconds)
{
    private const int WarmUps = 3, Runs = 21;

    /// <param name="launches">Kernels of the step.</param>
    public static LaunchCost Measure(CudaDevice card, int launches, int rows)
    {
        Ops ops = Ops.For(card);
        int drawn = rows * (2 + SampleStatistics.Count);
        ((Tensor number, Tensor ids), DeviceBuffer memory) = Arena.Build(card, arena => (arena.Take(1), arena.Take(drawn, DType.I32)));
        using DeviceBuffer owned = memory;
        using RecordedStep step = card.Record(() =>
        {
            for (int i = 0; i < launches; i++) ops.Fill(number, 0f);
        });
        using CudaEvent start = new(card), end = new(card);
        int[] host = new int[drawn];
        double[] steps = new double[Runs], exchanges = new double[Runs];
        for (int run = -WarmUps; run < Runs; run++)
        {
            start.Record();
            step.Run();
            end.Record();
            end.Wait();
            long began = Stopwatch.GetTimestamp();
            card.Upload<int>(host.AsSpan(0, rows), ids.Range(0, rows));
            card.Download<int>(ids, host);
            if (run < 0) continue;
            exchanges[run] = Stopwatch.GetElapsedTime(began).TotalMicroseconds;
            steps[run] = 1e3 * end.MillisecondsSince(start);
        }
        return new LaunchCost(DecodeSpeed.Median(steps) / launches, DecodeSpeed.Median(exchanges));
    }
}
