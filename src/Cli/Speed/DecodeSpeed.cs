using System.Diagnostics;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

namespace QSharp.Cli.Speed;

/// <summary>How long a step of decoding takes.</summary>
/// <param name="Milliseconds">The median from one drawn token to the next, the host's look at it included.</param>
/// <param name="Launches">Of one step, if the device is a card; else 0.</param>
internal sealed record StepTiming(double Milliseconds, long Launches);

/// <summary>
/// Times the steps of the sampler that generation uses. All rows have the same random prompt, which goes through once, and draw
/// their own tokens. Under a guide with a trunk of its own steps draw from the candidates alone: with random weights nearly every draw
/// would otherwise miss them and cost a second pass of the guide. A shared trunk has no such pass and draws as on texts.
/// </summary>
internal static class DecodeSpeed
{
    // The first token, a plain step (kernels are compiled), a captured one, and one more.
    private const int WarmUps = 4;

    /// <param name="guidance">Null: unguided.</param>
    /// <param name="context">Columns of the cache that the middle one of the timed steps reads.</param>
    /// <param name="steps">How many are timed.</param>
    /// <exception cref="UserException">The context is too short for so many steps, or longer than the model's.</exception>
    public static StepTiming Time(
        LanguageModel reference, IGuide? guide, Guidance? guidance, int candidates, int rows, int context, int steps, CancellationToken stop)
    {
        int prompt = context - WarmUps - (steps - 1) / 2;
        if (prompt < 1) throw new UserException($"--context {context}: {steps} steps need a context of at least {context - prompt + 1}; lower --steps.");
        int newTokens = WarmUps + steps, vocabulary = Math.Min(reference.Config.Vocab, guide?.Vocabulary ?? int.MaxValue);
        using Guidance unguided = new FusedGuidance(reference.Ops);
        SamplerShape shape = new(rows, prompt, newTokens, candidates, Vocabulary: vocabulary);
        using Sampler sampler = new(reference, guidance is null ? null : guide, guidance ?? unguided, shape, []);
        SampleBatch batch = new(rows, prompt, newTokens);
        int[] tokens = RandomRows.Draw(prompt, vocabulary, 1);
        for (int row = 0; row < rows; row++) batch.Add(tokens, newTokens, row);
        GuidanceRule rule = guidance is null ? GuidanceRule.Reference() : new GuidanceRule(Tilt.LogMeanExp, ReturnFamily.Bernoulli, 1, guide is SharedTrunkGuide ? GuideRecipe.Text.Outside : Outside.Truncate);

        long[] stamps = new long[newTokens], launches = new long[newTokens];
        CudaDevice? card = reference.Ops.Device as CudaDevice;
        int at = 0;
        sampler.Run(batch, rule, 1, stop, (row, _) =>
        {
            if (row > 0) return true;
            launches[at] = card?.Launches ?? 0;
            stamps[at++] = Stopwatch.GetTimestamp();
            return true;
        });
        double[] times = [.. Enumerable.Range(WarmUps, steps).Select(step => Stopwatch.GetElapsedTime(stamps[step - 1], stamps[step]).TotalMilliseconds)];
        return new StepTiming(Median(times), launches[1] - launches[0]);
    }

    public static double Median(IReadOnlyCollection<double> times) => times.Order().ElementAt(times.Count / 2);
}
