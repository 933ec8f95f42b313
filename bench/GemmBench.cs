using System.Diagnostics;
using System.Globalization;

using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Bench;

/// <summary>
/// <c>dotnet run -c Release --project bench -- gemm [text]</c>: the three products of a linear layer against the machine's
/// peak and against OpenBLAS, in one run. Contestants take turns (but for OpenBLAS on all threads, which comes last) and the
/// best of many short samples of each counts, since other programs on the machine can only slow a sample down.
/// <c>text</c> picks the shapes whose label contains it.
/// </summary>
internal static unsafe class GemmBench
{
    private const double SampleSeconds = 0.001;

    private static readonly (string Label, int N, int I, int O)[] _shapes =
    [
        ("cube", 512, 512, 512),
        ("star-graph 64: qkv", 1152, 64, 192), ("star-graph 64: out", 1152, 64, 64),
        ("star-graph 64: up", 1152, 64, 256), ("star-graph 64: down", 1152, 256, 64), ("star-graph 64: head", 1152, 64, 14),
        ("star-graph 128: qkv", 2048, 128, 384), ("star-graph 128: out", 2048, 128, 128), ("star-graph 128: up", 2048, 128, 512),
        ("decode 64 rows: qkv", 64, 64, 192), ("decode 64 rows: up", 64, 64, 256), ("decode 256 rows: up", 256, 64, 256),
        ("train 1024, 128, 128", 1024, 128, 128), ("train 1024, 512, 128", 1024, 128, 512), ("train 512, 384, 384", 512, 384, 384),
        ("train 512, 1536, 384", 512, 384, 1536), ("train 512, 384, 1536", 512, 1536, 384),
        ("train 256, 2304, 768", 256, 768, 2304), ("train 256, 768, 3072", 256, 3072, 768), ("large", 2048, 2048, 2048),
        ("skinny 32", 32, 2048, 2048), ("skinny 8", 8, 2048, 2048), ("skinny 4", 4, 2048, 2048), ("vector", 1, 2048, 2048),
        ("vector, small", 1, 128, 384),
    ];

    public static void Run(string[] args)
    {
        string text = args.Length > 0 ? args[0] : "";
        CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
        int most = Math.Max(Environment.ProcessorCount, 1);
        using CpuDevice one = new(1), all = new(most);
        Ops opsOne = Ops.For(one), opsAll = Ops.For(all);
        OpenBlas? blas = OpenBlas.Find();
        Console.WriteLine($"Processor: {Machine.Processor()}, {most} threads; .NET {Environment.Version}; kernel: {((CpuOps)opsOne).GemmPath}");
        Console.WriteLine($"Peer: {(blas is null ? "OpenBLAS is absent (libopenblas.so.0 not found)" : blas.Name)}");
        double peakOne = 0, peakAll = 0;
        List<(string Label, string Product, double GFlop, double[] Seconds)> results = [];
        (string Label, int N, int I, int O)[] shapes =
            [.. _shapes.Where(shape => shape.Label.Contains(text, StringComparison.OrdinalIgnoreCase))];
        // OpenBLAS's threads go on spinning after a product, for longer than a sample takes, and would hold the processors of
        // ours: so it gets all threads only in a second pass, when all of ours are done.
        foreach (bool peerOnAll in blas is null ? new[] { false } : [false, true])
            for (int number = 0; number < 3 * shapes.Length; number++)
            {
                ((string label, int n, int i, int o), int product) = (shapes[number / 3], number % 3);
                if (!peerOnAll)
                {
                    double[] none = [.. Enumerable.Repeat(double.PositiveInfinity, 4)];
                    results.Add(($"{label}: {n}, {i}, {o}", Contest.Names[product], 2.0 * n * i * o / 1e9, none));
                    // The peak, too, is the best of what was seen all along.
                    peakOne = Math.Max(peakOne, FmaPeak.Measure(one.Workers) / 1e9);
                    peakAll = Math.Max(peakAll, FmaPeak.Measure(all.Workers) / 1e9);
                }
                using Contest contest = new([one, all], n, i, o, product);
                contest.Run(results[number].Seconds, peerOnAll, opsOne, opsAll, blas, most);
            }
        Console.WriteLine($"fp32 FMA peak: {peakOne:f0} GFLOP/s with 1 thread, {peakAll:f0} with {most}");
        Console.WriteLine();
        Console.WriteLine(
            $"| N, I, O | product | 1 thread | % of peak | OpenBLAS 1 "
            + $"| {most} threads | % of peak | OpenBLAS {most} | µs a call, 1 / {most} |");
        Console.WriteLine("|---|---|---|---|---|---|---|---|---|");
        foreach ((string label, string product, double flops, double[] best) in results)
        {
            string Rate(double seconds) => double.IsFinite(seconds) ? $"{flops / seconds:f0}" : "–";
            Console.WriteLine(
                $"| {label} | {product} | **{Rate(best[0])}** | {100 * flops / best[0] / peakOne:f0} | {Rate(best[2])} "
                + $"| **{Rate(best[1])}** | {100 * flops / best[1] / peakAll:f0} | {Rate(best[3])} "
                + $"| {best[0] * 1e6:f1} / {best[1] * 1e6:f1} |");
        }
    }

    /// <summary>One product of one shape, done by all.</summary>
    private sealed class Contest : IDisposable
    {
        public static readonly string[] Names = ["x·wᵀ", "dy·w", "dyᵀ·x"];

        // A set of tensors for each of our two devices; the peer uses the first.
        private readonly (Tensor X, Tensor W, Tensor Y)[] _tensors = new (Tensor, Tensor, Tensor)[2];
        private readonly DeviceBuffer[] _memory = new DeviceBuffer[2];
        private readonly int _n;
        private readonly int _i;
        private readonly int _o;
        private readonly int _product;

        public Contest(Device[] devices, int n, int i, int o, int product)
        {
            (_n, _i, _o, _product) = (n, i, o, product);
            for (int d = 0; d < devices.Length; d++)
            {
                (_tensors[d], _memory[d]) = Arena.Build(devices[d], arena => (arena.Take((n, i)), arena.Take((o, i)), arena.Take((n, o))));
                PhiloxStream random = new(1);
                foreach (Tensor tensor in new[] { _tensors[d].X, _tensors[d].W, _tensors[d].Y })
                    foreach (ref float value in tensor.Span<float>()) value = ((float)random.NextUniform() - 0.5f) * 1e-3f;
            }
        }

        /// <summary>Best seconds of: ours on one thread, ours on all, the peer on one, the peer on all (in a pass of its own).</summary>
        public void Run(double[] best, bool peerOnAll, Ops one, Ops all, OpenBlas? blas, int threads)
        {
            int[] calls = [0, 0, 0, 0];
            int first = peerOnAll ? 3 : 0, end = peerOnAll ? 4 : blas is null ? 2 : 3;
            int rounds = 2L * _n * _i * _o > 1_000_000_000 ? 10 : 40;
            if (first < 3) blas?.SetThreads(1);
            else blas!.SetThreads(threads);
            for (int round = 0; round < rounds; round++)
                for (int c = first; c < end; c++)
                {
                    Call(c, one, all, blas);   // comes back to the caches and wakes the threads
                    if (calls[c] == 0)
                    {
                        long start = Stopwatch.GetTimestamp();
                        Call(c, one, all, blas);
                        calls[c] = (int)Math.Clamp(SampleSeconds / Stopwatch.GetElapsedTime(start).TotalSeconds, 1, 1000);
                    }
                    long begin = Stopwatch.GetTimestamp();
                    for (int call = 0; call < calls[c]; call++) Call(c, one, all, blas);
                    best[c] = Math.Min(best[c], Stopwatch.GetElapsedTime(begin).TotalSeconds / calls[c]);
                }
        }

        public void Dispose()
        {
            foreach (DeviceBuffer memory in _memory) memory.Dispose();
        }

        private void Call(int contestant, Ops one, Ops all, OpenBlas? blas)
        {
            (Tensor x, Tensor w, Tensor y) = _tensors[contestant == 1 ? 1 : 0];
            if (contestant < 2)
            {
                Ops ops = contestant == 0 ? one : all;
                if (_product == 0) ops.MatMul(x, w, Tensor.None, y);
                else if (_product == 1) ops.MatMulBackward(y, Tensor.None, w, x, Tensor.None, Tensor.None);
                else ops.MatMulBackward(y, x, w, Tensor.None, w, Tensor.None);
                return;
            }
            float* xs = (float*)x.Address, ws = (float*)w.Address, ys = (float*)y.Address;
            if (_product == 0) blas!.Multiply(false, true, _n, _o, _i, xs, ws, 0, ys);
            else if (_product == 1) blas!.Multiply(false, false, _n, _i, _o, ys, ws, 0, xs);
            else blas!.Multiply(true, false, _o, _i, _n, ys, xs, 1, ws);
        }
    }
}
