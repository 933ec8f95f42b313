using System.Globalization;
using System.Numerics.Tensors;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

namespace QSharp.Bench;

/// <summary>
/// <c>dotnet run -c Release --project bench -- generate --model PATH</c>: greedy generation by this engine and by llama.cpp,
/// with the same weights, prompts and number of threads, in one process. First their log-probabilities are compared; then they
/// take turns. Best: each step's best of all runs, added up, since other programs can only slow a step down.
/// </summary>
internal static class GenerateBench
{
    private const int TracedTokens = 16, ManyRows = 8;
    private const double TurnSeconds = 0.25;

    // Both engines' threads spin on after their work, for up to 7 ms (measured): a turn begins when those of the last are asleep.
    private const int PauseMilliseconds = 50;

    // Of log-probabilities. llama.cpp looks GELU up in a table of F16, and with BF16 weights rounds the other factor of each
    // product to BF16.
    private const double Tolerance = 2e-3, GeluTolerance = 0.02, BFloat16Tolerance = 0.5;

    public static void Run(string[] args)
    {
        CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
        string folder = Path.Combine(Path.GetTempPath(), $"qsharp-generate-{Environment.ProcessId}");
        try
        {
            GenerateOptions options = GenerateOptions.Parse(args);
            Directory.CreateDirectory(folder);
            using CpuDevice device = new(options.Threads);
            using ModelFiles files = ModelFiles.Open(options.Model);
            using LanguageModel model = files.LoadLanguageModel(Ops.For(device), options.Format);
            LlamaCpp[] peers = [.. Peers(options, model, folder)];
            Describe(options, model);
            int[][] prompts = Prompts(options, model.Config.Vocab);
            Compare(model, peers, prompts[0], options.Tokens);
            Measure(options, device, model, peers, prompts);
            foreach (LlamaCpp peer in peers) peer.Dispose();
        }
        catch (UserException error)
        {
            Console.Error.WriteLine(error.Message);
            Environment.ExitCode = 1;
        }
        finally
        {
            if (Directory.Exists(folder)) Directory.Delete(folder, recursive: true);
        }
    }

    private static void Describe(GenerateOptions options, LanguageModel model)
    {
        const string Load = "/proc/loadavg";
        Console.WriteLine($"Processor: {Machine.Processor()}; threads: {options.Threads}; .NET {Environment.Version}");
        Console.WriteLine($"Peer: {LlamaCpp.Version}");
        if (File.Exists(Load)) Console.WriteLine($"Load of the machine before: {File.ReadAllText(Load).Trim()}");
        Console.WriteLine(
            $"Model: {options.Model}, {model.Weights.Count / 1e6:f1} M parameters, {model.Weights.MatrixType} matrices, "
            + $"{WeightBytes(model) / 1e6:f1} MB of them read for each token");
    }

    /// <summary>The peer with our weights, and with the file that was given, where that is one of its own.</summary>
    private static IEnumerable<LlamaCpp> Peers(GenerateOptions options, LanguageModel model, string folder)
    {
        string copy = Path.Combine(folder, "model.gguf");
        DType type = model.Weights.MatrixType;
        double tolerance = type == DType.BF16 ? BFloat16Tolerance : model.Config.Mlp == Mlp.Gelu ? GeluTolerance : Tolerance;
        GgufWriter.Write(copy, model);
        yield return new LlamaCpp($"llama.cpp, {type}", copy, options.Threads, WeightBytes(model), tolerance);
        File.Delete(copy);   // it may be large, and whoever stops the bench should not have to look for it
        if (!File.Exists(options.Model)) yield break;
        yield return new LlamaCpp("llama.cpp, the file itself", options.Model, options.Threads, 0, double.PositiveInfinity);
    }

    private static int[][] Prompts(GenerateOptions options, int vocabulary)
    {
        PhiloxStream random = new(1);
        int[][] prompts = new int[ManyRows][];
        for (int row = 0; row < prompts.Length; row++)
        {
            prompts[row] = new int[options.PromptTokens];
            foreach (ref int token in prompts[row].AsSpan()) token = random.NextInt(vocabulary);
        }
        return prompts;
    }

    /// <summary>Both must compute the same before their speed is worth a look.</summary>
    private static void Compare(LanguageModel model, LlamaCpp[] peers, int[] prompt, int tokens)
    {
        (int[] drawn, List<float[]> own) = OwnEngine.Trace(model, prompt, Math.Min(tokens, TracedTokens));
        foreach (LlamaCpp peer in peers)
        {
            List<float[]> theirs = peer.Trace(prompt, drawn);
            int same = 0;
            double[] differences = new double[drawn.Length];
            for (int step = 0; step < drawn.Length; step++)
            {
                float[] a = LogSoftmax(own[step]), b = LogSoftmax(theirs[step]);
                same += TensorPrimitives.IndexOfMax<float>(a) == TensorPrimitives.IndexOfMax<float>(b) ? 1 : 0;
                TensorPrimitives.Subtract<float>(a, b, a);
                differences[step] = Math.Abs(TensorPrimitives.MaxMagnitude<float>(a));
            }
            string limit = double.IsFinite(peer.Tolerance) ? $"at most {peer.Tolerance} is allowed" : "other weights, so any is allowed";
            Console.WriteLine(
                $"{peer.Name}: log-probabilities of all tokens differ from ours by at most {differences[0]:g2} after the prompt and "
                + $"{differences.Max():g2} in {drawn.Length} steps ({limit}); the likeliest token is the same in {same} of {drawn.Length}.");
            if (!(differences.Max() <= peer.Tolerance))
                throw new UserException($"{peer.Name} and this engine compute different things, so their speed is not compared.");
        }
    }

    private static float[] LogSoftmax(float[] logits)
    {
        float max = TensorPrimitives.Max<float>(logits);
        double sum = 0;
        foreach (float logit in logits) sum += Math.Exp(logit - max);
        float[] result = new float[logits.Length];
        TensorPrimitives.Subtract(logits, max + (float)Math.Log(sum), result);
        return result;
    }

    private static void Measure(GenerateOptions options, CpuDevice device, LanguageModel model, LlamaCpp[] peers, int[][] prompts)
    {
        Console.WriteLine();
        Console.WriteLine("| case | engine | tokens/s, best | median | ours / theirs, best | median | weights, GB/s | % of a plain read |");
        Console.WriteLine("|---|---|---|---|---|---|---|---|");
        List<double> reads = [];
        foreach (int rows in new[] { 1, ManyRows })
        {
            Contestant[] contestants =
            [
                new("ours", WeightBytes(model), new OwnEngine(model, rows, options.PromptTokens, options.Tokens), options.Tokens),
                .. peers.Select(peer => new Contestant(
                    peer.Name, peer.WeightBytes, peer.Open(rows, options.PromptTokens, options.Tokens), options.Tokens)),
            ];
            foreach (Contestant contestant in contestants) contestant.WarmUp(prompts[..rows]);
            for (int round = 0; round < options.Repeats; round++)
            {
                foreach (Contestant contestant in contestants) contestant.TakeTurn(prompts[..rows]);
                Thread.Sleep(PauseMilliseconds);
                for (int i = 0; i < 5; i++) reads.Add(Machine.ReadRate(device.Workers, model.Weights.Matrices));
            }
            Report(contestants, $"prefill, {rows} × {options.PromptTokens}", true, rows * options.PromptTokens, 0, reads.Max());
            Report(contestants, $"decode, {rows} × {options.Tokens}", false, rows * (options.Tokens - 1), options.Tokens - 1, reads.Max());
            foreach (Contestant contestant in contestants) contestant.Dispose();
        }
        Console.WriteLine();
        Console.WriteLine($"Plain read of the weights: {reads.Max() / 1e9:f1} GB/s (best), {MedianOf(reads) / 1e9:f1} (median).");
    }

    private static void Report(Contestant[] contestants, string name, bool isPrefill, int tokens, int passes, double read)
    {
        (double ownBest, double ownMedian) = isPrefill ? contestants[0].Prefill : contestants[0].Decode;
        foreach (Contestant contestant in contestants)
        {
            (double best, double median) = isPrefill ? contestant.Prefill : contestant.Decode;
            double rate = contestant.WeightBytes * passes / best;
            Console.WriteLine(
                $"| {name} | {contestant.Name} | {tokens / best:f0} | {tokens / median:f0} "
                + (contestant == contestants[0] ? "| | " : $"| **{best / ownBest:f2}** | {median / ownMedian:f2} ")
                + (!isPrefill && rate > 0 ? $"| {rate / 1e9:f1} | {100 * rate / read:f0} |" : "| | |"));
        }
    }

    /// <summary>Bytes of the matrices that one token reads: all but tables in which it looks up a row.</summary>
    private static long WeightBytes(LanguageModel model) =>
        model.Weights.Blocks.Sum(block => block.Qkv.Bytes + block.Out.Bytes + block.Up.Bytes + block.Down.Bytes) + model.Weights.Head.Bytes;

    private static double MedianOf(List<double> values) => values.Order().ElementAt(values.Count / 2);

    private sealed class Contestant(string name, long weightBytes, IEngine engine, int tokens) : IDisposable
    {
        private readonly double[] _seconds = new double[tokens];
        private readonly double[] _best = [.. Enumerable.Repeat(double.PositiveInfinity, tokens)];
        private readonly List<double> _prefill = [], _decode = [];

        public string Name { get; } = name;

        public long WeightBytes { get; } = weightBytes;

        /// <summary>Best and median seconds until the first tokens.</summary>
        public (double Best, double Median) Prefill => (_best[0], MedianOf(_prefill));

        /// <summary>Seconds from the first tokens to the last: the sum of each step's best, and the median of the runs.</summary>
        public (double Best, double Median) Decode => (_best[1..].Sum(), MedianOf(_decode));

        /// <summary>A run that does not count: until all is compiled and in memory.</summary>
        public void WarmUp(int[][] prompts) => engine.Run(prompts, _seconds);

        public void TakeTurn(int[][] prompts)
        {
            Thread.Sleep(PauseMilliseconds);
            double spent = 0;
            while (spent < TurnSeconds)
            {
                engine.Run(prompts, _seconds);
                for (int token = 0; token < tokens; token++) _best[token] = Math.Min(_best[token], _seconds[token]);
                _prefill.Add(_seconds[0]);
                _decode.Add(_seconds[1..].Sum());
                spent += _seconds.Sum();
            }
        }

        public void Dispose() => engine.Dispose();
    }
}
