using System.Diagnostics;
using System.Globalization;

using QSharp.Engine;

namespace QSharp.Bench;

/// <summary>
/// <c>dotnet run -c Release --project bench -- decode [text]</c>: one step of decoding at batch 1, op by op in the order of
/// the model, next to a plain read of memory in the same round. Best and median of many rounds: other programs on the
/// machine slow both down alike, so the ratio of a pair says more than either. <c>text</c> picks the shapes.
/// </summary>
internal static class DecodeBench
{
    private const int Warmup = 20;   // until everything is compiled

    private static readonly DecodeShape[] _shapes =
    [
        new("SmolLM2-135M", DType.BF16, Layers: 30, Width: 576, Heads: 9, KvHeads: 3, HeadDim: 64, Hidden: 1536, Vocab: 49152)
        { Context = 256, Rounds = 40 },
        new("story", DType.F32, Layers: 2, Width: 128, Heads: 8, KvHeads: 4, HeadDim: 16, Hidden: 384, Vocab: 2048)
        { Context = 128, Rounds = 3000 },
    ];

    public static void Run(string[] args)
    {
        string text = args.Length > 0 ? args[0] : "";
        CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
        Console.WriteLine($"Processor: {Machine.Processor()}; .NET {Environment.Version}");
        foreach (int threads in new[] { 1, Environment.ProcessorCount }.Distinct())
            foreach (DecodeShape shape in _shapes.Where(shape => shape.Name.Contains(text, StringComparison.OrdinalIgnoreCase)))
            {
                using CpuDevice device = new(threads);
                using DecodeStep step = new(device, shape);
                Report(step, Measure(device, step));
            }
    }

    private static Result Measure(CpuDevice device, DecodeStep step)
    {
        int rounds = step.Shape.Rounds, readEvery = rounds < 100 ? 1 : 50;
        Result result = new(rounds, step.Calls.Count, step.Apart.Count);
        (Tensor memory, DeviceBuffer buffer) = Arena.Build(device, arena => arena.Take(1 << 25));   // 128 MiB, more than any cache
        memory.Span<float>().Fill(1);
        double read = 0;
        for (int round = -Warmup; round < rounds; round++)
        {
            if (round <= 0 || round % readEvery == 0) read = Machine.ReadRate(device.Workers, memory);
            step.Restart();
            long start = Stopwatch.GetTimestamp();
            foreach (DecodeCall call in step.Calls) call.Run();
            double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            step.Restart();
            Time(step.Calls, result.Best);
            Time(step.Apart, result.BestApart);
            if (round < 0) continue;
            result.Steps[round] = seconds;
            result.Reads[round] = read;
        }
        buffer.Dispose();
        return result;
    }

    private static void Time(IReadOnlyList<DecodeCall> calls, double[] best)
    {
        for (int call = 0; call < calls.Count; call++)
        {
            long start = Stopwatch.GetTimestamp();
            calls[call].Run();
            best[call] = Math.Min(best[call], Stopwatch.GetElapsedTime(start).TotalSeconds);
        }
    }

    private static void Report(DecodeStep step, Result result)
    {
        double best = result.Steps.Min(), median = Median(result.Steps);
        double[] shares = [.. result.Steps.Zip(result.Reads, (seconds, read) => step.WeightBytes / seconds / read)];
        Console.WriteLine();
        Console.WriteLine(
            $"### {step.Shape.Name}, {step.Threads} thread{(step.Threads == 1 ? "" : "s")}, {step.Shape.Weights} weights, "
            + $"{step.WeightBytes / 1e6:f1} MB, context {step.Shape.Context}");
        Console.WriteLine(
            $"step: best {best * 1e3:f3} ms ({1 / best:f0} tokens/s), median {median * 1e3:f3} ms ({1 / median:f0} tokens/s); "
            + $"weights at {step.WeightBytes / best / 1e9:f1} GB/s (best), plain read {result.Reads.Max() / 1e9:f1} GB/s (best), "
            + $"{Median(result.Reads) / 1e9:f1} (median); ratio of pairs, median {Median(shares):f2}");
        Console.WriteLine();
        Console.WriteLine("| op | calls | ns a call | µs a step | % of the step |");
        Console.WriteLine("|---|---|---|---|---|");
        Rows(step.Calls, result.Best, result.Best.Sum());
        Rows(step.Apart, result.BestApart, double.NaN);
    }

    private static void Rows(IReadOnlyList<DecodeCall> calls, double[] best, double sum)
    {
        foreach (IGrouping<string, double> op in calls.Zip(best).GroupBy(each => each.First.Name, each => each.Second))
        {
            string share = double.IsNaN(sum) ? "apart" : $"{100 * op.Sum() / sum:f1}";
            Console.WriteLine($"| {op.Key} | {op.Count()} | {op.Average() * 1e9:f0} | {op.Sum() * 1e6:f1} | {share} |");
        }
    }

    private static double Median(double[] values) => values.Order().ElementAt(values.Length / 2);

    private sealed class Result(int rounds, int calls, int apart)
    {
        public double[] Steps { get; } = new double[rounds];

        public double[] Reads { get; } = new double[rounds];

        public double[] Best { get; } = [.. Enumerable.Repeat(double.PositiveInfinity, calls)];

        public double[] BestApart { get; } = [.. Enumerable.Repeat(double.PositiveInfinity, apart)];
    }
}
