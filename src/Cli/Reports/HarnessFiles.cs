using System.Text.Json.Nodes;

using QSharp.Model;

namespace QSharp.Cli.Reports;

/// <summary>
/// An evaluation in the layout of lm-evaluation-harness: <c>results.json</c> with one entry a task, whose keys are
/// <c>metric,filter</c> and <c>metric_stderr,filter</c>, and <c>samples_TASK.jsonl</c> with one line a response. What the harness
/// calls a filter is a policy here: the same problems, answered by another law.
/// </summary>
internal static class HarnessFiles
{
    private const string Metric = "exact_match";

    public static void Write(RunFolder folder, EvaluationReport report, JsonObject settings)
    {
        folder.WriteJson("results.json", Results(report, settings));
        AtomicFile.Write(SamplesPath(folder, report), stream =>
        {
            using StreamWriter writer = new(stream, leaveOpen: true);
            foreach (Evaluation result in report.Results)
                foreach (ScoredResponse response in result.Responses)
                    writer.WriteLine(Sample(report, result, response).ToJsonString());
        });
    }

    public static string SamplesPath(RunFolder folder, EvaluationReport report) => folder.File($"samples_{report.Name}.jsonl");

    private static JsonObject Results(EvaluationReport report, JsonObject settings)
    {
        JsonObject metrics = new() { ["alias"] = report.Name };
        foreach (Evaluation result in report.Results)
        {
            Add(Metric, result.PassAt1);
            Add(EvaluationReport.KlName(result), result.Kl);
            if (result.Samples > 1) Add($"pass@{result.Samples}", result.PassAt(result.Samples));
            if (result.MajorityVote is { } vote) Add($"maj@{result.Samples}", vote);

            void Add(string metric, Estimate value)
            {
                string filter = Filter(result);
                metrics[$"{metric},{filter}"] = value.Mean;
                metrics[$"{metric}_stderr,{filter}"] = Cli.Results.Number(value.Error);
            }
        }
        int problems = report.Problems.Length;
        return new JsonObject
        {
            ["results"] = Of(metrics),
            ["configs"] = Of(new JsonObject
            {
                ["task"] = report.Name,
                ["output_type"] = "generate_until",
                ["num_fewshot"] = 0,
                ["repeats"] = report.Results[0].Samples,
                ["generation_kwargs"] = new JsonObject { ["max_gen_toks"] = report.Task.ResponseLimit, ["do_sample"] = report.Results[0].Temperature > 0 },
                ["metadata"] = new JsonObject { ["fingerprint"] = report.Task.Settings },
            }),
            ["versions"] = Of(1),
            ["n-shot"] = Of(0),
            ["n-samples"] = Of(new JsonObject { ["original"] = problems, ["effective"] = problems }),
            ["higher_is_better"] = Of(new JsonObject { [Metric] = true }),
            ["config"] = new JsonObject { ["model"] = "qsharp", ["model_args"] = report.Model, ["guide"] = report.Guide, ["settings"] = settings.DeepClone() },
        };

        JsonObject Of(JsonNode value) => new() { [report.Name] = value };
    }

    private static JsonObject Sample(EvaluationReport report, Evaluation result, ScoredResponse response)
    {
        Problem problem = report.Problems[response.Problem];
        string prompt = report.Task.Text(problem.Prompt), text = report.Task.Text(response.Tokens);
        JsonObject json = new()
        {
            ["doc_id"] = response.Problem,
            ["filter"] = Filter(result),
            ["arguments"] = new JsonArray(new JsonArray(prompt)),
            ["resps"] = new JsonArray(new JsonArray(text)),
            ["filtered_resps"] = new JsonArray(report.Task.Answer(problem, response.Tokens)),
            ["metrics"] = new JsonArray(Metric),
            [Metric] = response.Reward,
            ["method"] = EvaluationReport.PolicyName(result),
            ["temperature"] = result.Temperature,
            ["eta"] = EvaluationReport.Eta(result),
            ["sample"] = response.Sample,
            ["prompt_ids"] = Ids(problem.Prompt),
            ["ids"] = Ids(response.Tokens),
            [EvaluationReport.KlName(result)] = response.Kl,
            ["kl_floor"] = response.KlFloor,
        };
        if (!double.IsNaN(response.LogRatio)) json["log_ratio"] = Cli.Results.Number(response.LogRatio);
        if (!double.IsNaN(response.Score)) json["score"] = response.Score;
        return json;
    }

    /// <summary>A policy in one word: <c>qsharp-T0.7-eta0.1</c>.</summary>
    private static string Filter(Evaluation result) =>
        FormattableString.Invariant($"{EvaluationReport.PolicyName(result).Replace(' ', '-')}-T{result.Temperature}") + (double.IsFinite(result.Eta) ? FormattableString.Invariant($"-eta{result.Eta}") : "");

    private static JsonArray Ids(int[] ids) => new([.. ids.Select(id => (JsonNode)id)]);
}
