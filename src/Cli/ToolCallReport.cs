using System.Globalization;
using System.Text.Json.Nodes;

using QSharp.Model;

namespace QSharp.Cli;

/// <summary>What guides on the tool-call task say, achieve, and would if they were exact.</summary>
/// <param name="Results">The reference, qsharp, qsharp-td.</param>
/// <param name="Exact">Of each test prompt.</param>
internal sealed record ToolCallReport(double Eta, int Problems, int Samples, List<EpisodeEvaluation> Results, ToolCallValues[] Exact)
{
    public JsonObject ToJson(ulong seed, PhaseClock clock) => new()
    {
        ["seed"] = seed,
        ["eta"] = Eta,
        ["test_problems"] = Problems,
        ["samples"] = Samples,
        ["methods"] = new JsonArray([.. Results.Select(Json)]),
        ["optimum"] = Exact.Average(values => values.Soft),
        ["seconds"] = clock.ToJson()["seconds"]!.DeepClone(),
    };

    public void Print(TextWriter output, RunFolder folder, PhaseClock clock)
    {
        List<string[]> rows = [["method", "predicted J", "achieved J", "± s.e.", "reward", "KL", "exact: predicted J", "achieved J"]];
        foreach (EpisodeEvaluation result in Results)
        {
            (double predicted, double achieved) = ExactOf(result);
            rows.Add(
            [
                result.Method, Number(IsReference(result) ? double.NaN : result.Predicted.Mean), Number(result.Objective.Mean), ResultTable.Error(result.Objective),
                Number(result.Reward.Mean), Number(result.Kl.Mean), Number(predicted), Number(achieved),
            ]);
        }
        ResultTable.Print(output, rows);
        output.WriteLine();
        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"J = E[R] − {Eta} · KL, at most {Exact.Average(values => values.Soft):0.000} on these prompts. Exact: by enumeration of π_ref's responses and the tools' answers."));
        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"seconds: pretrain {clock.Seconds("pretrain"):0.0}, collect {clock.Seconds("collect"):0.0}, train {clock.Seconds("train"):0.0}, evaluate {clock.Seconds("evaluate"):0.0}"));
        output.WriteLine($"result:  {folder.ResultPath}");
    }

    private JsonNode Json(EpisodeEvaluation result)
    {
        (double predicted, double achieved) = ExactOf(result);
        JsonObject json = new()
        {
            ["name"] = result.Method,
            ["objective"] = result.Objective.Mean,
            ["objective_stderr"] = Cli.Results.Number(result.Objective.Error),
            ["reward"] = result.Reward.Mean,
            ["reward_stderr"] = Cli.Results.Number(result.Reward.Error),
            ["kl"] = result.Kl.Mean,
            ["exact_objective"] = achieved,
        };
        if (!IsReference(result)) (json["predicted"], json["exact_predicted"]) = (result.Predicted.Mean, predicted);
        return json;
    }

    private (double Predicted, double Achieved) ExactOf(EpisodeEvaluation result) =>
        IsReference(result) ? (double.NaN, Exact.Average(values => values.Reference))
        : result.Method == "qsharp" ? (Exact.Average(values => values.Naive), Exact.Average(values => values.NaiveObjective))
        : (Exact.Average(values => values.Soft), Exact.Average(values => values.Soft));

    private static bool IsReference(EpisodeEvaluation result) => result.Method == "reference";

    private static string Number(double value) => double.IsNaN(value) ? "" : value.ToString("0.000", CultureInfo.InvariantCulture);
}
