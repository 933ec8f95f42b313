using System.Diagnostics;
using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;

using LLama;
using LLama.Common;
using LLama.Native;

namespace QSharp.Bench;

/// <summary>The peer of generation, llama.cpp through LLamaSharp: a model that it has loaded.</summary>
internal sealed class LlamaCpp : IDisposable
{
    private readonly ModelParams _parameters;
    private readonly LLamaWeights _weights;

    /// <param name="weightBytes">What one token reads, or 0 where that is not known.</param>
    /// <param name="tolerance">The most by which its log-probabilities may differ from ours.</param>
    public LlamaCpp(string name, string file, int threads, long weightBytes, double tolerance)
    {
        NativeLogConfig.llama_log_set((_, _) => { });   // it tells much
        (Name, WeightBytes, Tolerance) = (name, weightBytes, tolerance);
        _parameters = new ModelParams(file)
        {
            Threads = threads,
            BatchThreads = threads,
            GpuLayerCount = 0,
            LoadMode = LLamaLoadMode.None,   // the file is not needed any more; as fast as a mapped one
        };
        _weights = LLamaWeights.LoadFromFile(_parameters);
    }

    /// <summary>Its version and the instructions that it was compiled for.</summary>
    public static string Version
    {
        get
        {
            // The assembly does not know its own version, but the list of what this program was built with does.
            string list = Path.Combine(AppContext.BaseDirectory, $"{typeof(LlamaCpp).Assembly.GetName().Name}.deps.json");
            string version = Regex.Match(File.ReadAllText(list), "\"LLamaSharp/([^\"]+)\"").Groups[1].Value;
            string features = Marshal.PtrToStringUTF8(NativeApi.llama_print_system_info()) ?? "?";
            return $"LLamaSharp {version}; {features.Replace(" = 1", "").Trim(' ', '|')}";
        }
    }

    public string Name { get; }

    public long WeightBytes { get; }

    public double Tolerance { get; }

    /// <summary>An engine as its users have it: a cache of F16 and fused attention, which is its fastest setting too.</summary>
    public IEngine Open(int rows, int promptTokens, int newTokens) =>
        new Context(_weights.CreateContext(Settings(rows, promptTokens, newTokens)));

    /// <summary>Logits after a prompt, and after each but the last of the tokens that follow it, with a cache of F32.</summary>
    public List<float[]> Trace(int[] prompt, int[] tokens)
    {
        ModelParams settings = Settings(1, prompt.Length, tokens.Length) with
        {
            TypeK = GGMLType.GGML_TYPE_F32,
            TypeV = GGMLType.GGML_TYPE_F32,
            FlashAttention = false,   // it rounds to F16 within
        };
        using Context context = new(_weights.CreateContext(settings));
        return context.Trace(prompt, tokens);
    }

    public void Dispose() => _weights.Dispose();

    private ModelParams Settings(int rows, int promptTokens, int newTokens) => _parameters with
    {
        SeqMax = (uint)rows,
        ContextSize = (uint)(rows * (promptTokens + newTokens)),
        BatchSize = (uint)(rows * promptTokens),
        KVUnified = false,   // rows share nothing, and need not be masked from one another
    };

    private sealed class Context(LLamaContext context) : IEngine
    {
        private readonly SafeLLamaContextHandle _handle = context.NativeHandle;
        private readonly LLamaBatch _batch = new();

        public void Run(int[][] prompts, double[] seconds)
        {
            _handle.MemoryClear();
            int[] rows = new int[prompts.Length], next = new int[prompts.Length];
            for (int token = 0; token < seconds.Length; token++)
            {
                long start = Stopwatch.GetTimestamp();
                if (token == 0) Prefill(prompts, rows);
                else Step(next, prompts[0].Length + token - 1, rows);
                for (int row = 0; row < rows.Length; row++) next[row] = TensorPrimitives.IndexOfMax<float>(_handle.GetLogitsIth(rows[row]));
                seconds[token] = Stopwatch.GetElapsedTime(start).TotalSeconds;
            }
        }

        public List<float[]> Trace(int[] prompt, int[] tokens)
        {
            int[] row = [0];
            Prefill([prompt], row);
            List<float[]> logits = [_handle.GetLogitsIth(row[0]).ToArray()];
            for (int i = 0; i < tokens.Length - 1; i++)
            {
                Step([tokens[i]], prompt.Length + i, row);
                logits.Add(_handle.GetLogitsIth(row[0]).ToArray());
            }
            return logits;
        }

        public void Dispose() => context.Dispose();

        /// <summary>Reads prompts of equal length.</summary>
        /// <param name="rows">Where each one's logits are to be found.</param>
        private void Prefill(int[][] prompts, int[] rows)
        {
            _batch.Clear();
            for (int row = 0; row < rows.Length; row++)
                for (int i = 0; i < prompts[row].Length; i++)
                    rows[row] = _batch.Add(prompts[row][i], i, (LLamaSeqId)row, i == prompts[row].Length - 1);
            Decode();
        }

        private void Step(int[] tokens, int position, int[] rows)
        {
            _batch.Clear();
            for (int row = 0; row < rows.Length; row++) rows[row] = _batch.Add(tokens[row], position, (LLamaSeqId)row, true);
            Decode();
        }

        private void Decode()
        {
            DecodeResult result = context.Decode(_batch);
            if (result != DecodeResult.Ok) throw new InvalidOperationException($"llama.cpp: decoding gave {result}.");
        }
    }
}
