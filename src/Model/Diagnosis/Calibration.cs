using System.Text.Json.Nodes;

using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// How well a guide foretells the reward of π_ref's own responses, at the first token, the middle one and the last (method notes
/// §6): whether what it learned is within reach of its family.
/// </summary>
public sealed record Calibration(HeldOutReport Root, HeldOutReport Middle, HeldOutReport End)
{
    /// <param name="rollouts">Responses that are all π_ref's.</param>
    public static Calibration Of(LanguageModel reference, IGuide guide, IReadOnlyList<Rollout> rollouts, int rows, IProgressSink progress, CancellationToken stop)
    {
        ReturnFamily family = guide.Settings.Family;
        List<Prediction> root = [], middle = [], end = [];
        using GuideReader reader = new(
            reference, guide, rows, rollouts.Max(rollout => rollout.PromptLength), rollouts.Max(rollout => rollout.Tokens.Length - rollout.PromptLength));
        progress.Start("read with the guide", rollouts.Count);
        int done = 0;
        foreach (Rollout[] batch in rollouts.Chunk(rows))
        {
            stop.ThrowIfCancellationRequested();
            reader.Read([.. batch.Select(rollout => (rollout.Tokens, rollout.PromptLength))], (row, t, logits) =>
            {
                int length = batch[row].Tokens.Length - batch[row].PromptLength;
                Prediction prediction = new(family.Mean(logits), batch[row].Reward, 1, t);
                if (t == 0) root.Add(prediction);
                if (t == length / 2) middle.Add(prediction);
                if (t == length - 1) end.Add(prediction);
            });
            progress.Report(done += batch.Length, []);
        }
        progress.Finish(FormattableString.Invariant($"{done} responses"));
        return new Calibration(Report(root), Report(middle), Report(end));
    }

    /// <summary>The three places by name.</summary>
    public IEnumerable<(string Place, HeldOutReport Report)> Places => [("root", Root), ("middle", Middle), ("end", End)];

    public JsonObject ToJson() => new(Places.Select(place => KeyValuePair.Create<string, JsonNode?>(place.Place, place.Report.ToJson())));

    private static HeldOutReport Report(List<Prediction> predictions) =>
        HeldOutReport.Of(
            predictions.Average(each => Entropy(each.Return, Math.Clamp(each.Mean, 1e-7, 1 - 1e-7))),
            new QSharpMethod(ReturnFamily.Bernoulli).ConstantLoss(predictions), predictions);

    private static double Entropy(double label, double chance) => -label * Math.Log(chance) - (1 - label) * Math.Log(1 - chance);
}
