using System.Globalization;
using System.Text.Json.Nodes;

using QSharp.Model;

namespace QSharp.Cli;

/// <summary>Results as JSON and as a table.</summary>
internal static class Results
{
    /// <summary>A number as JSON, which has no infinity: "inf"; null for NaN, where there is none.</summary>
    public static JsonNode? Number(double value) => double.IsNaN(value) ? null : double.IsFinite(value) ? JsonValue.Create(value) : JsonValue.Create("inf");

    /// <summary>η as JSON.</summary>
    public static JsonNode? Eta(double eta) => Number(eta);

    /// <summary>What a guide foretold at the prompt.</summary>
    public static JsonObject Foretold(Foretold foretold)
    {
        JsonObject json = new() { ["reward"] = foretold.Reward, ["kl"] = foretold.Kl };
        if (!double.IsNaN(foretold.Lambda)) json["lambda"] = foretold.Lambda;
        return json;
    }

    public static JsonObject StarGraph(StarGraphRecipe recipe, ulong seed, int testGraphs, List<Evaluation> results, PhaseClock clock)
    {
        JsonObject seconds = [];
        foreach (string phase in (string[])["pretrain", "collect", "train", "evaluate"]) seconds[phase] = Round(clock.Seconds(phase), 3);
        return new JsonObject
        {
            ["graph"] = new JsonArray(recipe.Graph.Arms, recipe.Graph.PathLength),
            ["seed"] = seed,
            ["test_graphs"] = testGraphs,
            ["methods"] = new JsonArray([.. results.Select(Method)]),
            ["seconds"] = seconds,
            ["training_tokens_per_second"] = Round(clock.TrainingTokensPerSecond, 1),
        };
    }

    public static JsonNode Method(Evaluation result)
    {
        JsonObject json = new() { ["name"] = result.Method };
        if (result.Method != "reference" && !double.IsNaN(result.Eta)) json["eta"] = Eta(result.Eta);
        json["accuracy"] = result.PassAt1.Mean;
        json["stderr"] = Number(result.PassAt1.Error);
        if (result.Method != "reference") json["kl"] = result.Kl.Mean;
        json["tokens_per_second"] = Round(result.TokensPerSecond, 1);
        return json;
    }

    public static void Print(TextWriter output, RunFolder folder, List<Evaluation> results, PhaseClock clock, string[] pictures)
    {
        PrintTable(output, results);
        output.WriteLine();
        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"seconds: pretrain {clock.Seconds("pretrain"):0.0}, collect {clock.Seconds("collect"):0.0}, train {clock.Seconds("train"):0.0}, evaluate {clock.Seconds("evaluate"):0.0}; training {clock.TrainingTokensPerSecond:N0} tokens/s"));
        output.WriteLine($"result:   {folder.ResultPath}");
        foreach (string picture in pictures) output.WriteLine($"picture:  {picture}");
    }

    public static void PrintTable(TextWriter output, List<Evaluation> results)
    {
        List<string[]> rows = [["method", "η", "accuracy", "± s.e.", "KL (nats/response)", "tokens/s"]];
        foreach (Evaluation result in results)
        {
            bool isReference = result.Method == "reference";
            rows.Add(
            [
                result.Method,
                isReference || double.IsNaN(result.Eta) ? "" : double.IsFinite(result.Eta) ? result.Eta.ToString("0.####", CultureInfo.InvariantCulture) : "inf",
                result.PassAt1.Mean.ToString("0.000", CultureInfo.InvariantCulture),
                ResultTable.Error(result.PassAt1),
                isReference ? "" : result.Kl.Mean.ToString("0.000", CultureInfo.InvariantCulture),
                result.TokensPerSecond.ToString("N0", CultureInfo.InvariantCulture),
            ]);
        }
        ResultTable.Print(output, rows);
    }

    private static double Round(double value, int digits) => Math.Round(value, digits);
}
