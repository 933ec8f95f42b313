using System.Text.Json.Nodes;

namespace QSharp.Model;

/// <summary>What a set of roll-outs says about the reward within reach and a safe strength (method notes §6, §2.4).</summary>
/// <param name="Lambda">At which CV², effective samples and relative errors are taken.</param>
public sealed record DataDiagnosis(IReadOnlyList<PromptSamples> Prompts, double Lambda)
{
    /// <summary>Success rates for which chances and biases are foretold.</summary>
    private static readonly double[] _rates = [0.01, 0.05, 0.1, 0.3];

    /// <summary>Samples of a prompt, by the median.</summary>
    public int Samples => (int)Quantile(prompt => prompt.Count, 0.5);

    public double MeanReward => Prompts.Average(prompt => prompt.Mean);

    /// <summary>Prompts without a success: nothing can be learned there.</summary>
    public int Hopeless => Prompts.Count(prompt => prompt.Successes == 0);

    /// <summary>Prompts that training drops, since their samples are all alike.</summary>
    public int Dropped => Prompts.Count(prompt => prompt.IsDropped);

    /// <summary>Mean label before and after prompts are dropped; the second is NaN where all are.</summary>
    public (double Before, double After) Labels =>
        (MeanReward, Prompts.Where(prompt => !prompt.IsDropped).Select(prompt => prompt.Mean).DefaultIfEmpty(double.NaN).Average());

    /// <summary>λ that leaves a tenth of the samples effective on nine prompts of ten; infinite where every λ does.</summary>
    public double SafeLambda => Quantile(prompt => prompt.SafeLambda(), 0.1);

    /// <summary>For some success rates, the chance to see no success, and the label that the filter leaves; NaN with one sample a prompt.</summary>
    public IEnumerable<(double Rate, double NoSuccess, double Label)> Foretold =>
        _rates.Select(rate => (rate, Math.Pow(1 - rate, Samples), Samples > 1 ? PromptSamples.KeptLabel(rate, Samples) : double.NaN));

    /// <summary>The value that a share of the prompts is below.</summary>
    public double Quantile(Func<PromptSamples, double> value, double share)
    {
        double[] sorted = [.. Prompts.Select(value).Order()];
        return sorted[(int)Math.Min(share * sorted.Length, sorted.Length - 1)];
    }

    public JsonObject ToJson()
    {
        (double before, double after) = Labels;
        return new JsonObject
        {
            ["prompts"] = Prompts.Count,
            ["samples_per_prompt"] = Samples,
            ["lambda"] = Lambda,
            ["mean_reward"] = MeanReward,
            ["hopeless_prompts"] = Hopeless,
            ["dropped_prompts"] = Dropped,
            ["mean_label_before_filter"] = before,
            ["mean_label_after_filter"] = Number(after),
            ["squared_variation_median"] = Quantile(prompt => prompt.SquaredVariation(Lambda), 0.5),
            ["squared_variation_90"] = Quantile(prompt => prompt.SquaredVariation(Lambda), 0.9),
            ["effective_samples_median"] = Quantile(prompt => prompt.EffectiveSamples(Lambda), 0.5),
            ["effective_samples_10"] = Quantile(prompt => prompt.EffectiveSamples(Lambda), 0.1),
            ["relative_error_median"] = Quantile(prompt => prompt.RelativeError(Lambda), 0.5),
            ["safe_lambda"] = Number(SafeLambda),
            ["foretold"] = new JsonArray([.. Foretold.Select(each => (JsonNode)new JsonObject
            {
                ["success_rate"] = each.Rate,
                ["chance_of_no_success"] = each.NoSuccess,
                ["mean_label_if_kept"] = Number(each.Label),
            })]),
        };
    }

    /// <summary>A line a prompt.</summary>
    public IEnumerable<JsonObject> PromptLines() => Prompts.Select(prompt => new JsonObject
    {
        ["problem"] = prompt.Problem,
        ["samples"] = prompt.Count,
        ["successes"] = prompt.Successes,
        ["mean_reward"] = prompt.Mean,
        ["squared_variation"] = prompt.SquaredVariation(Lambda),
        ["effective_samples"] = prompt.EffectiveSamples(Lambda),
        ["relative_error"] = prompt.RelativeError(Lambda),
        ["safe_lambda"] = Number(prompt.SafeLambda()),
    });

    /// <summary>JSON has no infinity and no NaN.</summary>
    internal static JsonNode? Number(double value) => double.IsFinite(value) ? value : null;
}
