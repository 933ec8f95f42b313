using System.Diagnostics;

using QSharp.Kernels;
using QSharp.Model;

namespace QSharp.Bench;

/// <summary>An engine with memory for some sequences side by side.</summary>
internal interface IEngine : IDisposable
{
    /// <summary>Reads prompts of equal length and draws the likeliest tokens after them.</summary>
    /// <param name="seconds">One entry for each token of a sequence: how long it took, the first with the prompts before it.</param>
    void Run(int[][] prompts, double[] seconds);
}

/// <summary>This project's engine: what <c>generate</c> runs, the statistics of each draw included.</summary>
internal sealed class OwnEngine : IEngine
{
    private static readonly GuidanceRule _greedy = GuidanceRule.Reference(temperature: 0);

    private readonly SampleBatch _batch;
    private readonly Guidance _guidance;
    private readonly Sampler _sampler;

    public OwnEngine(LanguageModel model, int rows, int promptTokens, int newTokens) :
        this(model, new FusedGuidance(model.Ops), rows, promptTokens, newTokens)
    {
    }

    private OwnEngine(LanguageModel model, Guidance guidance, int rows, int promptTokens, int newTokens)
    {
        _guidance = guidance;
        _batch = new SampleBatch(rows, promptTokens, newTokens);
        _sampler = new Sampler(model, null, guidance, new SamplerShape(rows, promptTokens, newTokens), []);
    }

    /// <summary>The likeliest tokens after a prompt, and the logits that each was chosen from.</summary>
    public static (int[] Tokens, List<float[]> Logits) Trace(LanguageModel model, int[] prompt, int tokens)
    {
        Recorder recorder = new(model.Ops);
        using OwnEngine engine = new(model, recorder, 1, prompt.Length, tokens);
        engine.Run([prompt], new double[tokens]);
        return (engine._batch.Response(0).ToArray(), recorder.Logits);
    }

    public void Run(int[][] prompts, double[] seconds)
    {
        _batch.Clear();
        foreach (int[] prompt in prompts) _batch.Add(prompt, seconds.Length, stream: 0);
        int token = 0;
        long last = Stopwatch.GetTimestamp();
        _sampler.Run(_batch, _greedy, key: 1, goesOn: (row, _) =>
        {
            if (row == prompts.Length - 1) last = LapTime(ref seconds[token++], last);
            return true;
        });
    }

    public void Dispose()
    {
        _sampler.Dispose();
        _guidance.Dispose();
    }

    private static long LapTime(ref double seconds, long start)
    {
        long now = Stopwatch.GetTimestamp();
        seconds = Stopwatch.GetElapsedTime(start, now).TotalSeconds;
        return now;
    }

    /// <summary>Notes the logits of every step.</summary>
    private sealed class Recorder(Ops ops) : Guidance
    {
        private readonly FusedGuidance _draw = new(ops);

        public List<float[]> Logits { get; } = [];

        public override void Sample(in GuidanceInputs inputs, GuidanceRule rule, ulong key, in GuidanceOutputs outputs)
        {
            Logits.Add(inputs.RefLogits.Span<float>().ToArray());
            _draw.Sample(inputs, rule, key, outputs);
        }
    }
}
