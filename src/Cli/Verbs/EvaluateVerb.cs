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
        TaskOptions task = new(verb);
        Option<string?> guide = OptionFactory.OptionalText("--guide", "Folder of the guide; without it the reference alone is tested.");
        verb.Options.Add(guide);
        Option<int> samples = OptionFactory.Integer("--samples", "Responses drawn for each problem.", 1, 1);
        verb.Options.Add(samples);
        EvaluationOptions evaluation = new(verb);
        TiltOptions tilt = new(verb);
        CommonOptions common = new(verb);
        verb.SetAction((parsed, stop) =>
        {
            string? guideFolder = parsed.GetValue(guide);
            List<TiltFunction> functions = tilt.Functions(parsed, evaluation.Etas(parsed), evaluation.HasEta(parsed), guideFolder is not null);
            if (functions.Count > 0) evaluation.RequireQSharpAlone(parsed);
            using Session session = task.Open(parsed, common, guideFolder, stop);
            TiltOptions.Require(functions, session.Guide);
            Experiment experiment = session.Experiment;
            Problem[] problems = experiment.TestProblems(evaluation.TestGraphs(parsed));
            experiment.Policies(session.Guide, evaluation.Tilts(parsed), evaluation.Etas(parsed));   // refuses what the guide cannot do before anything is written
            JsonObject settings = new() { ["task"] = experiment.Task.Settings, ["samples"] = parsed.GetValue(samples) };
            evaluation.AddTo(settings, parsed);
            tilt.AddTo(settings, parsed);
            task.Decoding.AddTo(settings, parsed);
            RunFolder folder = common.OpenFolder(parsed, "evaluate", settings);
            PhaseClock clock = new();
            using Guidance guidance = task.Decoding.Guidance(parsed, session.Reference.Ops);
            List<Evaluation> results = experiment.Evaluate(
                session.Reference, session.Guide, evaluation.Tilts(parsed), evaluation.Etas(parsed), functions, problems, parsed.GetValue(samples), guidance, clock);
            EvaluationReport report = new(experiment.Task, problems, results);
            JsonObject result = report.ToJson(task.Model(parsed), guideFolder);
            folder.WriteJson("result.json", result);
            report.WriteSamples(folder.File("samples.jsonl"));
            if (common.Json(parsed)) Console.Out.WriteLine(result.ToJsonString());
            else report.PrintTable(Console.Out);
            return Task.FromResult(ExitCodes.Done);
        });
        return verb;
    }
}
