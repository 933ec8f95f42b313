using System.Globalization;
using System.Text.Json.Nodes;

using QSharp.Model;

namespace QSharp.Cli;

/// <summary>Evaluated policies, the first one π_ref: as JSON, as a table, sample by sample.</summary>
internal sealed class EvaluationReport(ITask task, Problem[] problems, List<Evaluation> results)
{
    public JsonObject ToJson(string model, string? guide) => new()
    {
        ["task"] = task.Fingerprint,
        ["model"] = model,
        ["guide"] = guide,
        ["problems"] = problems.Length,
        ["samples"] = results[0].Samples,
        ["results"] = new JsonArray([.. results.Select(Json)]),
    };

    /// <summary>One line of JSON a response: which policy, which problem, what was drawn and what it is worth.</summary>
    public void WriteSamples(string path) => AtomicFile.Write(path, stream =>
    {
        using StreamWriter writer = new(stream, leaveOpen: true);
        foreach (Evaluation result in results)
            foreach (ScoredResponse response in result.Responses)
                writer.WriteLine(Sample(result, response).ToJsonString());
    });

    public void Print(TextWriter output, RunFolder folder, PhaseClock clock)
    {
        PrintTable(output);
        output.WriteLine();
        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"seconds: collect {clock.Seconds("collect"):0.0}, train {clock.Seconds("train"):0.0}, evaluate {clock.Seconds("evaluate"):0.0}"));
        output.WriteLine($"result:  {folder.ResultPath}");
        output.WriteLine($"samples: {folder.File("samples.jsonl")}");
    }

    public void PrintTable(TextWriter output)
    {
        bool hasOrigin = results.Any(result => result.KlOrigin is not null);
        List<string[]> rows = [["policy", "T", "η", "pass@1", "± s.e.", "gain", "± s.e.", "KL", .. hasOrigin ? (string[])["KL from the data's"] : [], "tokens/s"]];
        foreach (Evaluation result in results)
        {
            Estimate gain = result.Gain(results[0]);
            bool isFirst = ReferenceEquals(result, results[0]);
            rows.Add(
            [
                Name(result), Number(result.Temperature, "0.##"), double.IsFinite(result.Eta) ? Number(result.Eta, "0.####") : "",
                Number(result.PassAt1.Mean), Number(result.PassAt1.Error), isFirst ? "" : Number(gain.Mean), isFirst ? "" : Number(gain.Error),
                Number(result.Kl.Mean, "0.00"), .. hasOrigin ? (string[])[Number(result.KlOrigin?.Mean ?? double.NaN, "0.00")] : [], Number(result.TokensPerSecond, "N0"),
            ]);
        }
        ResultTable.Print(output, rows);
        foreach (Evaluation result in results)
            if (result.Foretold is { } foretold)
                output.WriteLine($"foretold by the guide, {Label(result)}: {(double.IsNaN(foretold.Lambda) ? "" : $"mean λ {Number(foretold.Lambda, "0.##")}, ")}reward {Number(foretold.Reward)}, KL {Number(foretold.Kl, "0.00")}");
        foreach (Evaluation result in results.Where(result => result.MajorityVote is not null))
            output.WriteLine($"maj@{result.Samples}, {Label(result)}: {Number(result.MajorityVote!.Value.Mean)} ± {Number(result.MajorityVote!.Value.Error)}"
                + (result.WeightedVote is { } weighted ? $"; weighted by the guide: {Number(weighted.Mean)} ± {Number(weighted.Error)}" : ""));
        foreach (Evaluation result in results.Where(result => result.Samples > 1 && result.IsJudged))
            output.WriteLine($"best of n by the guide, {Label(result)}: "
                + string.Join(", ", BestOf(result).Select(each => $"{each.N}: {Number(each.Accuracy.Mean)} ± {Number(each.Accuracy.Error)}")));
    }

    /// <summary>For n = 1, 2, 4, … up to the number of samples. The KL of best-of-n from its samples' policy is at most ln n − (n − 1)/n.</summary>
    private static IEnumerable<(int N, Estimate Accuracy)> BestOf(Evaluation result)
    {
        for (int n = 1; n <= result.Samples; n *= 2) yield return (n, result.BestOf(n));
    }

    private JsonNode Json(Evaluation result)
    {
        JsonObject json = new()
        {
            ["method"] = result.Method,
            ["temperature"] = result.Temperature,
            ["eta"] = Results.Eta(result.Eta),
            ["pass_at_1"] = result.PassAt1.Mean,
            ["pass_at_1_stderr"] = result.PassAt1.Error,
            ["kl_guidance"] = result.Kl.Mean,
            ["kl_guidance_stderr"] = result.Kl.Error,
            ["kl_floor"] = result.KlFloor.Mean,
            ["kl_paper"] = result.KlPaper.Mean,
            ["tokens"] = result.Tokens,
            ["tokens_per_second"] = result.TokensPerSecond,
        };
        if (result.Tilt is not null) json["tilt"] = result.Tilt;
        if (result.Foretold is { } foretold) json["foretold"] = Results.Foretold(foretold);
        if (!ReferenceEquals(result, results[0]))
        {
            Estimate gain = result.Gain(results[0]);
            (json["gain"], json["gain_stderr"]) = (gain.Mean, gain.Error);
        }
        if (result.Samples > 1)
        {
            (json["pass_at_k"], json["pass_at_k_stderr"]) = (result.PassAt(result.Samples).Mean, result.PassAt(result.Samples).Error);
            if (result.MajorityVote is { } vote) (json["maj_at_k"], json["maj_at_k_stderr"]) = (vote.Mean, vote.Error);
            if (result.WeightedVote is { } weighted) (json["weighted_maj_at_k"], json["weighted_maj_at_k_stderr"]) = (weighted.Mean, weighted.Error);
            if (result.IsJudged) json["best_of_n"] = new JsonArray([.. BestOf(result).Select(each => (JsonNode)new JsonObject
            {
                ["n"] = each.N, ["accuracy"] = each.Accuracy.Mean, ["stderr"] = each.Accuracy.Error, ["kl_bound"] = Math.Log(each.N) - (each.N - 1.0) / each.N,
            })]);
        }
        if (result.KlOrigin is { } origin) (json["kl_origin"], json["kl_origin_stderr"]) = (origin.Mean, origin.Error);
        return json;
    }

    private JsonObject Sample(Evaluation result, ScoredResponse response) => new()
    {
        ["method"] = Name(result),
        ["temperature"] = result.Temperature,
        ["eta"] = Results.Eta(result.Eta),
        ["problem"] = response.Problem,
        ["sample"] = response.Sample,
        ["prompt_ids"] = new JsonArray([.. problems[response.Problem].Prompt.Select(id => (JsonNode)id)]),
        ["ids"] = new JsonArray([.. response.Tokens.Select(id => (JsonNode)id)]),
        ["reward"] = response.Reward,
        ["kl"] = response.Kl,
        ["kl_floor"] = response.KlFloor,
    };

    private static string Name(Evaluation result) => result.Tilt is null ? result.Method : $"{result.Method} {result.Tilt}";

    private static string Label(Evaluation result) =>
        $"{Name(result)} at T {Number(result.Temperature, "0.##")}{(double.IsFinite(result.Eta) ? $", η {Number(result.Eta, "0.####")}" : "")}";

    private static string Number(double value, string format = "0.000") => double.IsNaN(value) ? "" : value.ToString(format, CultureInfo.InvariantCulture);
}
