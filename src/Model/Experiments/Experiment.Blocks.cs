using System.Diagnostics;

using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

public sealed partial class Experiment
{
    /// <summary>Evaluates block-wise controlled decoding; the KL of a response is the bound of <see cref="BlockSettings.KlBound"/>.</summary>
    /// <param name="samples">Responses to each problem.</param>
    /// <param name="keep">File of the finished responses, from which a resumed run goes on.</param>
    public Evaluation EvaluateBlocks(LanguageModel reference, IGuide guide, BlockSettings blocks, Problem[] problems, int samples, Guidance guidance, string keep)
    {
        using ResponseFile kept = OpenResponses(keep, reference, guide, [blocks], problems, samples, $"at {recipe.Reference}");
        const string name = "cd-blocks";
        int total = checked(problems.Length * samples), side = Math.Clamp(rows / blocks.Count, 1, total);
        SamplerShape shape = new(side, Task.PromptLimit, Task.ResponseLimit, Vocabulary: Task.Vocabulary);
        using BlockSampler sampler = new(reference, guide, guidance, shape, blocks, Task.Stops);
        SampleBatch batch = new(side, Task.PromptLimit, Task.ResponseLimit);
        progress.Start($"evaluate {name}", total);
        (List<ScoredResponse> responses, List<int> missing) = kept.Look(0, Enumerable.Range(0, total), samples);
        IEnumerable<SampleRequest> requests = missing.Select(i => new SampleRequest(problems[i / samples].Prompt, Task.ResponseLimit, i, i));
        if (responses.Count > 0) progress.Report(responses.Count, []);
        Stopwatch watch = Stopwatch.StartNew();
        foreach (int row in sampler.Run(requests, batch, recipe.Reference, Philox.Key(seed, EvaluateStream), stop))
        {
            (int problem, int sample) = Math.DivRem((int)batch.Numbers[row], samples);
            int[] tokens = batch.Response(row).ToArray();
            responses.Add(new ScoredResponse(
                problem, sample, tokens, Task.Reward(problems[problem], tokens), blocks.KlBound(tokens.Length), batch.Sum(row, SampleStatistics.KlFloor), double.NaN, double.NaN)
            {
                Seconds = watch.Elapsed.TotalSeconds,
            });
            watch.Restart();
            kept.Write(0, responses[^1]);
            progress.Report(responses.Count, [("accuracy", responses.Average(response => response.Reward))]);
        }
        Evaluation result = new(
            name, double.NaN, recipe.Temperature, problems.Length, samples, [.. responses.OrderBy(response => (response.Problem, response.Sample))])
        { Blocks = blocks };
        progress.Finish($"accuracy {result.PassAt1}");
        return result;
    }
}
