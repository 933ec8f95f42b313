using System.Globalization;
using System.Text.Json.Nodes;

using QSharp.Model;

namespace QSharp.Cli.Reports;

/// <summary>What a diagnosis found, as JSON and as tables; parts that were not asked for are null.</summary>
internal sealed class DiagnosisReport
{
    public DataDiagnosis? Data { get; init; }

    public Calibration? Calibration { get; set; }

    public RatioDiagnosis? Ratios { get; set; }

    /// <summary>Z at the prompts of the front.</summary>
    public IReadOnlyList<ReturnLaw>? Laws { get; set; }

    public IReadOnlyList<FrontPoint>? Front { get; set; }

    public JsonObject ToJson() => new()
    {
        ["data"] = Data?.ToJson(),
        ["calibration"] = Calibration?.ToJson(),
        ["ratios"] = Ratios?.ToJson(),
        ["mean_return_at_prompts"] = Laws?.Average(law => law.Mean),
        ["front"] = Front is null ? null : new JsonArray([.. Front.Select(point => (JsonNode)point.ToJson())]),
    };

    public void Print(TextWriter output, RunFolder folder, string[] pictures)
    {
        if (Data is not null) Print(output, Data);
        if (Calibration is not null) Print(output, Calibration);
        if (Ratios is not null) Print(output, Ratios);
        if (Front is not null) Print(output, Front);
        output.WriteLine($"result:  {folder.ResultPath}");
        if (Data is not null) output.WriteLine($"prompts: {folder.File("prompts.jsonl")}");
        foreach (string picture in pictures) output.WriteLine($"picture: {picture}");
    }

    private static void Print(TextWriter output, DataDiagnosis data)
    {
        (double before, double after) = data.Labels;
        output.WriteLine(Text($"{data.Prompts.Count} prompts with {data.Samples} samples of the reference each: mean reward {data.MeanReward:0.000}; {data.Hopeless} without a success, {data.Dropped} all alike, so dropped in training"));
        output.WriteLine(Text($"mean label before that {before:0.000}, after it {Number(after)}"));
        output.WriteLine(Text($"a λ that leaves a tenth of the samples effective on nine prompts of ten: {(double.IsInfinity(data.SafeLambda) ? "any" : Number(data.SafeLambda, "0.0"))}"));
        output.WriteLine();
        ResultTable.Print(output,
        [
            [Text($"by prompt, at λ {data.Lambda:0.##}"), "a tenth below", "median", "a tenth above"],
            Row("success rate", prompt => prompt.Mean),
            Row("CV² of e^(λR)", prompt => prompt.SquaredVariation(data.Lambda)),
            Row("effective samples", prompt => prompt.EffectiveSamples(data.Lambda)),
            Row("relative error of W", prompt => prompt.RelativeError(data.Lambda)),
        ]);
        output.WriteLine();
        ResultTable.Print(output,
        [
            [Text($"foretold for {data.Samples} samples, by success rate"), "no success", "mean label if kept"],
            .. data.Foretold.Select(each => (string[])[Number(each.Rate, "0.##"), Number(each.NoSuccess), Number(each.Label)]),
        ]);
        output.WriteLine();

        string[] Row(string name, Func<PromptSamples, double> value) =>
            [name, .. new[] { 0.1, 0.5, 0.9 }.Select(share => Number(data.Quantile(value, share)))];
    }

    private static void Print(TextWriter output, Calibration calibration)
    {
        ResultTable.Print(output,
        [
            ["the guide on the reference's responses", "loss", "of a constant", "Brier", "AUC", "explained variance"],
            .. calibration.Places.Select(place => (string[])
            [
                $"at the {place.Place}", Number(place.Report.Loss), Number(place.Report.ConstantLoss), Number(place.Report.Brier), Number(place.Report.Auc), Number(place.Report.ExplainedVariance),
            ]),
        ]);
        output.WriteLine();
        List<string[]> reliability = [["foretold by the guide, in tenths", "place", "share", "foretold", "came true"]];
        foreach ((string place, HeldOutReport report) in calibration.Places)
            foreach ((double share, double predicted, double actual) in report.Reliability)
                reliability.Add([Text($"{Math.Floor(predicted * 10) / 10:0.0} and more"), place, Number(share), Number(predicted), Number(actual)]);
        ResultTable.Print(output, reliability);
        output.WriteLine();
    }

    private static void Print(TextWriter output, RatioDiagnosis ratios)
    {
        ResultTable.Print(output,
        [
            ["visits of the policy over the reference's", "mean", "variance", "known mean", "known variance", "correlation", "rms error"],
            .. ratios.Places.Select(place => (string[])
            [
                $"at the {place.Place}", Number(place.Fit.Mean), Number(place.Fit.Variance), Number(place.Fit.KnownMean), Number(place.Fit.KnownVariance),
                Number(place.Fit.Correlation), Number(place.Fit.Error),
            ]),
        ]);
        output.WriteLine();
    }

    private static void Print(TextWriter output, IReadOnlyList<FrontPoint> front)
    {
        List<string[]> rows = [["front", "foretold reward", "foretold KL", "envelope", "reward", "± s.e.", "KL", "ln W", "± s.e.", "regret", "± s.e."]];
        foreach (FrontPoint point in front)
        {
            Certificate? certificate = point.Measured is { } evaluation ? Certificate.Of(evaluation) : null;
            rows.Add(
            [
                Text($"η {point.Eta:0.####}"), Number(point.Reward), Number(point.Kl), Number(point.Envelope, "0.#"),
                Number(point.Measured?.PassAt1.Mean), Error(point.Measured?.PassAt1), Number(point.Measured?.Kl.Mean),
                Number(certificate?.LogMean.Mean), Error(certificate?.LogMean), Number(certificate?.Regret.Mean), Error(certificate?.Regret),
            ]);
        }
        ResultTable.Print(output, rows);
        output.WriteLine();
        foreach (FrontPoint point in front.Where(point => point.Measured is not null))
            output.WriteLine(Text($"residual ρ at η {point.Eta:0.####}, root mean square from token: ")
                + string.Join(", ", FrontPoint.Residuals(point.Measured!).Select(bin => Text($"{bin.From}: {bin.Rms:0.000}"))));
    }

    private static string Error(Estimate? estimate) => estimate is { } known ? ResultTable.Error(known) : "";

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private static string Number(double? value, string format = "0.000") =>
        value is { } number && double.IsFinite(number) ? number.ToString(format, CultureInfo.InvariantCulture) : "";
}
