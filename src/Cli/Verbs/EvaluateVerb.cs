using System.CommandLine;
using System.Text.Json.Nodes;


using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>Accuracy and exact KL of a reference, guided or not, on held-out problems.</summary>
internal static class EvaluateVerb
{
    public static Command Create()
    {
        Command verb = new("evaluate", "Accuracy and KL of a reference, guided or not, on held-out problems.");
        VerbTask.AddOption(verb);
        Option<string?> model = VerbTask.RequiredFolder(verb, "--model", "Folder of the reference.");
        Option<string?> guide = OptionFactory.OptionalText("--guide", "Folder of the guide; without it the reference alone is tested.");
        verb.Options.Add(guide);
        StarGraphOptions graph = new(verb);
        EvaluationOptions evaluation = new(verb);
        CommonOptions common = new(verb);
        verb.SetAction((parsed, stop) =>
        {
            StarGraphRecipe recipe = graph.Recipe(parsed);
            string? guideFolder = parsed.GetValue(guide);
            using Session session = new(parsed, common, recipe, parsed.GetValue(model)!, guideFolder, stop);
            StarGraphExperiment experiment = session.Experiment;
            Problem[] problems = experiment.TestProblems(evaluation.TestGraphs(parsed));
            JsonObject settings = [];
            evaluation.AddTo(settings, parsed);
            RunFolder folder = common.OpenFolder(parsed, "evaluate", settings);
            PhaseClock clock = new();
            using Guidance guidance = evaluation.Guidance(parsed, session.Ops);
            List<Evaluation> results = experiment.Evaluate(session.Reference, session.Guide, evaluation.Tilts(parsed), evaluation.Etas(parsed), problems, guidance, clock);
            JsonObject result = new()
            {
                ["task"] = experiment.Task.Fingerprint,
                ["model"] = parsed.GetValue(model),
                ["guide"] = guideFolder,
                ["problems"] = problems.Length,
                ["samples"] = 1,
                ["results"] = new JsonArray([.. results.Select(Result)]),
            };
            folder.WriteJson("result.json", result);
            if (common.Json(parsed)) Console.Out.WriteLine(result.ToJsonString());
            else Results.PrintTable(Console.Out, results);
            return Task.FromResult(ExitCodes.Done);
        });
        return verb;
    }

    private static JsonNode Result(Evaluation result) => new JsonObject
    {
        ["method"] = result.Method,
        ["eta"] = Results.Eta(result.Eta),
        ["pass_at_1"] = result.Accuracy,
        ["pass_at_1_stderr"] = result.StandardError,
        ["kl_guidance"] = result.Kl,
        ["tokens_per_second"] = result.TokensPerSecond,
    };
}
