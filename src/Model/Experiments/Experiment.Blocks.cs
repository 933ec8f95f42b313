using System.Diagnostics;

using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

public sealed partial class Experiment
{
    /// <summary>Evaluates block-wise controlled decoding; the KL of a response is the bound of <see cref="BlockSettings.KlBound"/>.</summary>
    /// <param name="samples">Responses to each problem.</param>
    public Evaluation EvaluateBlocks(LanguageModel reference, IGuide guide, BlockSettings blocks, Problem[] problems, int samples, Guidance guidance)
    {
        const string name = "cd-blocks";
        int total = checked(problems.Length * samples), side = Math.Clamp(rows / blocks.Count, 1, total);
        SamplerShape shape = new(side, Task.PromptLimit, Task.ResponseLimit, Vocabulary: Task.Vocabulary);
        using BlockSampler sampler = new(reference, guide, guidance, shape, blocks, Task.Stops);
        SampleBatch batch = new(side, Task.PromptLimit, Task.ResponseLimit);
        List<ScoredResponse> responses = new(total);
        progress.Start($"evaluate {name}", total);
        Stopwatch watch = Stopwatch.StartNew();
        IEnumerable<SampleRequest> requests = Enumerable.Range(0, total).Select(i => new SampleRequest(problems[i / samples].Prompt, Task.ResponseLimit, i, i));
        foreach (int row in sampler.Run(requests, batch, recipe.Reference, Philox.Key(seed, EvaluateStream), stop))
        {
            (int problem, int sample) = Math.DivRem((int)batch.Numbers[row], samples);
            int[] tokens = batch.Response(row).ToArray();
            responses.Add(new ScoredResponse(
                problem, sample, tokens, Task.Reward(problems[problem], tokens), blocks.KlBound(tokens.Length), batch.Sum(row, SampleStatistics.KlFloor), double.NaN, double.NaN));
            progress.Report(responses.Count, [("accuracy", responses.Average(response => response.Reward))]);
        }
        double tokensPerSecond = responses.Sum(response => (long)response.Tokens.Length) / Math.Max(watch.Elapsed.TotalSeconds, 1e-6);
        Evaluation result = new(name, double.NaN, recipe.Temperature, problems.Length, samples, responses, tokensPerSecond) { Blocks = blocks };
        progress.Finish($"accuracy {result.PassAt1}");
        return result;
    }
}
