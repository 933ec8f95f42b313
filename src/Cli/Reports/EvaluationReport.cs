using System.Globalization;
using System.Text.Json.Nodes;

using QSharp.Model;

namespace QSharp.Cli.Reports;

/// <summary>Evaluated policies, the first one π_ref: as JSON, as a table, as files of the run.</summary>
/// <param name="Name">Of the task, fit for a file's name.</param>
internal sealed record EvaluationReport(string Name, ITask Task, Problem[] Problems, List<Evaluation> Results, string Model, string? Guide)
{
    public JsonObject ToJson() => new()
    {
        ["task"] = Name,
        ["model"] = Model,
        ["guide"] = Guide,
        ["problems"] = Problems.Length,
        ["samples"] = Results[0].Samples,
        ["results"] = new JsonArray([.. Results.Select(Json)]),
    };

    /// <summary>Writes everything that a run's folder keeps of an evaluation beside result.json.</summary>
    /// <param name="settings">What shaped the run.</param>
    public void Write(RunFolder folder, JsonObject settings, IProgressSink progress)
    {
        HarnessFiles.Write(folder, this, settings);
        bool draws = Results.Count > 1 && Pictures.HasFont(progress);
        if (draws) Pictures.Save(FrontPicture.Draw($"{Name}: {Problems.Length:N0} held-out problems", Results), folder, FrontPicture.Name);
        HtmlReport.Write(folder.File("report.html"), this, settings, draws ? File.ReadAllText(folder.File(FrontPicture.Name + ".svg")) : null);
    }

    public void Print(TextWriter output, RunFolder folder)
    {
        ResultTable.Print(output, Table());
        foreach (string line in Remarks()) output.WriteLine(line);
        output.WriteLine();
        output.WriteLine($"result:  {folder.ResultPath}");
        output.WriteLine($"report:  {folder.File("report.html")}");
        output.WriteLine($"samples: {HarnessFiles.SamplesPath(folder, this)}");
    }

    /// <summary>One row a policy, under headings.</summary>
    public List<string[]> Table()
    {
        bool hasOrigin = Results.Any(result => result.KlOrigin is not null);
        List<string[]> rows = [["policy", "T", "η", "pass@1", "± s.e.", "gain", "± s.e.", "KL", .. hasOrigin ? (string[])["KL from the data's"] : [], "tokens/s"]];
        foreach (Evaluation result in Results)
        {
            Estimate gain = result.Gain(Baseline(result));
            bool isFirst = ReferenceEquals(result, Results[0]);
            rows.Add(
            [
                PolicyName(result), Number(result.Temperature, "0.##"), double.IsFinite(result.Eta) ? Number(result.Eta, "0.####") : "",
                Number(result.PassAt1.Mean), ResultTable.Error(result.PassAt1), isFirst ? "" : Number(gain.Mean), isFirst ? "" : ResultTable.Error(gain),
                (result.Blocks is null ? "" : "≤ ") + Number(result.Kl.Mean, "0.00"), .. hasOrigin ? (string[])[Number(result.KlOrigin?.Mean ?? double.NaN, "0.00")] : [], Number(result.TokensPerSecond, "N0"),
            ]);
        }
        return rows;
    }

    /// <summary>What a policy's gain is over: π_ref at its own temperature; for π_ref, the first one.</summary>
    private Evaluation Baseline(Evaluation result) =>
        result.Method == "reference" ? Results[0] : Results.Find(each => each.Method == "reference" && each.Temperature == result.Temperature) ?? Results[0];

    /// <summary>Votes and best-of-n, where there are several responses to a problem.</summary>
    public IEnumerable<string> Remarks() =>
    [
        .. Results.Where(result => result.Foretold is not null).Select(result =>
            $"foretold by the guide, {Label(result)}: {(double.IsNaN(result.Foretold!.Lambda) ? "" : $"mean λ {Number(result.Foretold.Lambda, "0.##")}, ")}reward {Number(result.Foretold.Reward)}, KL {Number(result.Foretold.Kl, "0.00")}"),
        .. Results.Where(result => result.MajorityVote is not null).Select(result =>
            $"maj@{result.Samples}, {Label(result)}: {result.MajorityVote}"
            + (result.WeightedVote is { } weighted ? $"; weighted by the guide: {weighted}" : "")),
        .. Results.Where(result => result.Samples > 1 && result.IsJudged).Select(result => $"best of n by the guide, {Label(result)}: "
            + string.Join(", ", BestOf(result).Select(each => $"{each.N}: {each.Accuracy}"))),
    ];

    /// <summary>For n = 1, 2, 4, … up to the number of samples.</summary>
    public static IEnumerable<(int N, Estimate Accuracy)> BestOf(Evaluation result)
    {
        for (int n = 1; n <= result.Samples; n *= 2) yield return (n, result.BestOf(n));
    }

    public static string Label(Evaluation result) =>
        $"{PolicyName(result)} at T {Number(result.Temperature, "0.##")}{(double.IsFinite(result.Eta) ? $", η {Number(result.Eta, "0.####")}" : "")}";

    public static string PolicyName(Evaluation result) => result.Tilt is null ? result.Method : $"{result.Method} {result.Tilt}";

    /// <summary>Blocks are chosen by the highest value: there is no η.</summary>
    public static JsonNode? Eta(Evaluation result) => result.Blocks is null ? Cli.Results.Eta(result.Eta) : null;

    /// <summary>The KL of blocks is known as a bound alone.</summary>
    public static string KlName(Evaluation result) => result.Blocks is null ? "kl" : "kl_bound";

    private JsonNode Json(Evaluation result)
    {
        JsonObject json = new()
        {
            ["method"] = result.Method,
            ["temperature"] = result.Temperature,
            ["eta"] = Eta(result),
            ["pass_at_1"] = result.PassAt1.Mean,
            ["pass_at_1_stderr"] = Cli.Results.Number(result.PassAt1.Error),
            [result.Blocks is null ? "kl_guidance" : "kl_bound"] = result.Kl.Mean,
            [result.Blocks is null ? "kl_guidance_stderr" : "kl_bound_stderr"] = Cli.Results.Number(result.Kl.Error),
            ["kl_floor"] = result.KlFloor.Mean,
            ["kl_floor_stderr"] = Cli.Results.Number(result.KlFloor.Error),
            ["tokens"] = result.Tokens,
            ["tokens_per_second"] = result.TokensPerSecond,
        };
        if (result.IsDrawnByRejection) json["kl_is_estimated"] = true;
        if (result.Tilt is not null) json["tilt"] = result.Tilt;
        if (result.Foretold is { } foretold) json["foretold"] = Cli.Results.Foretold(foretold);
        if (result.Blocks is { } blocks) json["blocks"] = new JsonArray(blocks.Count, blocks.Tokens);
        else Add("kl_paper", result.KlPaper);
        if (!ReferenceEquals(result, Results[0])) Add("gain", result.Gain(Baseline(result)));
        if (result.Samples > 1)
        {
            Add("pass_at_k", result.PassAt(result.Samples));
            if (result.MajorityVote is { } vote) Add("maj_at_k", vote);
            if (result.WeightedVote is { } weighted) Add("weighted_maj_at_k", weighted);
            if (result.IsJudged) json["best_of_n"] = new JsonArray([.. BestOf(result).Select(each => (JsonNode)new JsonObject
            {
                ["n"] = each.N, ["accuracy"] = each.Accuracy.Mean, ["stderr"] = Cli.Results.Number(each.Accuracy.Error), ["kl_bound"] = FrontPicture.Bound(each.N),
            })]);
        }
        if (result.KlOrigin is { } origin) Add("kl_origin", origin);
        return json;

        void Add(string name, Estimate estimate) =>
            (json[name], json[name + "_stderr"]) = (Cli.Results.Number(estimate.Mean), Cli.Results.Number(estimate.Error));
    }

    private static string Number(double value, string format = "0.000") => double.IsNaN(value) ? "" : double.IsInfinity(value) ? "∞" : value.ToString(format, CultureInfo.InvariantCulture);
}
