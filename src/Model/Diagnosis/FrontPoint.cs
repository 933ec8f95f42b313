using System.Text.Json.Nodes;

namespace QSharp.Model;

/// <summary>A point of the front of reward against KL: what the guide foretells at its prompts, and what drawing gave (method notes §7.2).</summary>
/// <param name="Reward">Foretold, mean over prompts.</param>
/// <param name="Kl">Foretold, nats a response.</param>
/// <param name="Envelope">e^{λ·Max}/W at nine prompts of ten or less: how many samples of π_ref one of the best weight stands for.</param>
public sealed record FrontPoint(double Eta, double Reward, double Kl, double Envelope)
{
    /// <summary>The guided samples, where some were drawn.</summary>
    public Evaluation? Measured { get; init; }

    public static FrontPoint Of(double eta, IReadOnlyList<ReturnLaw> laws)
    {
        double lambda = 1 / eta;
        Prospect[] prospects = [.. laws.Select(law => law.At(lambda))];
        double[] envelopes = [.. prospects.Zip(laws, (prospect, law) => Math.Exp(Math.Max(lambda * law.Returns[^1], lambda * law.Returns[0]) - prospect.LogMean)).Order()];
        return new FrontPoint(
            eta, prospects.Average(prospect => prospect.Reward), prospects.Average(prospect => prospect.Kl), envelopes[(int)Math.Min(0.9 * envelopes.Length, envelopes.Length - 1)]);
    }

    public JsonObject ToJson()
    {
        JsonObject json = new() { ["eta"] = Eta, ["foretold_reward"] = Reward, ["foretold_kl"] = Kl, ["envelope_90"] = DataDiagnosis.Number(Envelope) };
        if (Measured is null) return json;
        (json["reward"], json["reward_stderr"]) = (Measured.PassAt1.Mean, DataDiagnosis.Number(Measured.PassAt1.Error));
        (json["kl"], json["kl_stderr"]) = (Measured.Kl.Mean, DataDiagnosis.Number(Measured.Kl.Error));
        if (Certificate.Of(Measured) is { } certificate) json["certificate"] = certificate.ToJson();
        json["residual"] = new JsonArray([.. Residuals(Measured).Select(bin => (JsonNode)new JsonObject
        {
            ["from_token"] = bin.From, ["count"] = bin.Count, ["mean"] = bin.Mean, ["root_mean_square"] = bin.Rms,
        })]);
        return json;
    }

    /// <summary>ρ by position, 1, 2–3, 4–7, … ; tokens whose prefix has no known W are left out.</summary>
    public static IEnumerable<(int From, int Count, double Mean, double Rms)> Residuals(Evaluation evaluation) =>
        evaluation.Responses
            .SelectMany(response => response.Residuals.Select((residual, position) => (residual, position)))
            .Where(each => each.position > 0 && each.residual != 0 && float.IsFinite(each.residual))
            .GroupBy(each => (int)Math.Log2(each.position)).OrderBy(bin => bin.Key)
            .Select(bin => (1 << bin.Key, bin.Count(), bin.Average(each => (double)each.residual), Math.Sqrt(bin.Average(each => (double)each.residual * each.residual))));
}
