using System.Diagnostics;
using System.Globalization;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

namespace QSharp.Bench;

/// <summary>
/// The draw of a guided step alone (C9): the tilt of the full vocabulary fused, the same law by the naive chain, and 20 candidates
/// (their top-k included), in turns on the same logits. The value logits are there already: what makes them is the head's own cost.
/// </summary>
internal static class TiltBench
{
    private const int Vocabulary = 49152, Candidates = 20, Warmup = 4;

    public static void Run()
    {
        CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
        Console.WriteLine($"Processor: {Machine.Processor()}; .NET {Environment.Version}; one thread; V {Vocabulary}; best and median of the rounds, ms");
        Console.WriteLine();
        Console.WriteLine("| A | B | order, top-p | fused, all tokens | naive, all tokens | ratio | fused, K 20 | ratio |");
        Console.WriteLine("|---|---|---|---|---|---|---|---|");
        using CpuDevice device = new(1);
        foreach (int atoms in (int[])[1, 11])
            foreach (int rows in (int[])[1, 32])
            {
                using Case each = new(device, rows, atoms);
                foreach ((Order order, float topP) in new[] { (Order.TemperThenTilt, 1f), (Order.TemperThenTilt, 0.9f), (Order.TiltThenTemper, 0.9f) })
                    each.Report(order, topP, rounds: rows == 1 ? 200 : 25);
            }
    }

    private sealed class Case : IDisposable
    {
        private const float Lambda = 10;

        private readonly Ops _ops;
        private readonly int _rows;
        private readonly ReturnFamily _family;
        private readonly Guidance _fused, _naive;
        private readonly Tensor _logits, _all, _some, _candidates, _prefix, _streams, _positions;
        private readonly GuidanceOutputs _outputs;
        private readonly DeviceBuffer _memory;

        public Case(CpuDevice device, int rows, int atoms)
        {
            _ops = Ops.For(device);
            _rows = rows;
            _family = atoms == 1 ? ReturnFamily.Bernoulli : ReturnFamily.Categorical(0, 1, atoms);
            (_fused, _naive) = (new FusedGuidance(_ops), new NaiveGuidance(_ops));
            ((_logits, _all, _some, _candidates, _prefix, _streams, _positions, _outputs), _memory) = Arena.Build(device, arena => (
                arena.Take((rows, Vocabulary)), arena.Take((rows, TokenTiles.CountOf(Vocabulary), atoms, TokenTiles.Tokens)),
                arena.Take((rows, Candidates, atoms)), arena.Take((rows, Candidates), DType.I32), arena.Take(rows), arena.Take(rows, DType.I32),
                arena.Take(rows, DType.I32),
                new GuidanceOutputs(arena.Take(rows, DType.I32), arena.Take(rows, DType.I32), arena.Take((rows, SampleStatistics.Count)))));
            PhiloxStream random = new(1);
            foreach (ref float logit in _logits.Span<float>()) logit = 3 * random.NextNormal();
            foreach (Tensor values in (Tensor[])[_all, _some])
                foreach (ref float value in values.Span<float>()) value = random.NextNormal();
            _prefix.Span<float>().Fill(0.5f * Lambda);
            for (int row = 0; row < rows; row++) _streams.Span<int>()[row] = row;
        }

        public void Report(Order order, float topP, int rounds)
        {
            GuidanceRule rule = new(Tilt.LogMeanExp, _family, Lambda, Outside.Min, 1, topP, order);
            GuidanceInputs all = new(_logits, Tensor.None, _all, _prefix, _streams, _positions);
            double[][] times = [new double[rounds], new double[rounds], new double[rounds]];
            for (int round = -Warmup; round < rounds; round++)
                for (int contestant = 0; contestant < times.Length; contestant++)
                {
                    long start = Stopwatch.GetTimestamp();
                    if (contestant == 2) Few(rule);
                    else (contestant == 0 ? _fused : _naive).Sample(all, rule, 1, _outputs);
                    if (round >= 0) times[contestant][round] = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
                }
            double[] best = [.. times.Select(each => each.Min())];
            string[] shown = [.. times.Select(each => $"{each.Min():0.000} ({each.Order().ElementAt(rounds / 2):0.000})")];
            Console.WriteLine(
                $"| {_family.Atoms} | {_rows} | {(order == Order.TemperThenTilt ? "exact" : "official")}, {topP} | {shown[0]} | {shown[1]} | "
                + $"{best[1] / best[0]:0.00} | {shown[2]} | {best[2] / best[0]:0.00} |");
        }

        public void Dispose()
        {
            _fused.Dispose();
            _naive.Dispose();
            _memory.Dispose();
        }

        private void Few(GuidanceRule rule)
        {
            _ops.TopK(_logits, _candidates, Tensor.None);
            _fused.Sample(new GuidanceInputs(_logits, _candidates, _some, _prefix, _streams, _positions), rule, 1, _outputs);
        }
    }
}
