using System.CommandLine;
using System.Text.Json.Nodes;

using QSharp.Engine;
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
        Option<CommaList<int>?> blocks = OptionFactory.Blocks();
        verb.Options.Add(blocks);
        EvaluationOptions evaluation = new(verb);
        CommonOptions common = new(verb);
        verb.SetAction((parsed, stop) =>
        {
            string? guideFolder = parsed.GetValue(guide);
            int[]? sizes = parsed.GetValue(blocks)?.Values;
            if (sizes is not null && guideFolder is null) throw new UserException("--blocks: a guide says which block is best; give one with --guide, or leave --blocks out.");
            using Session session = task.Open(parsed, common, guideFolder, stop);
            Experiment experiment = session.Experiment;
            session.Require(evaluation.Tilts(parsed), evaluation.Etas(parsed));
            Problem[] problems = experiment.TestProblems(evaluation.TestGraphs(parsed));
            experiment.Policies(session.Guide, evaluation.Tilts(parsed), evaluation.Etas(parsed));   // refuses what the guide cannot do before anything is written
            JsonObject settings = new() { ["task"] = experiment.Task.Settings, ["samples"] = parsed.GetValue(samples) };
            if (sizes is not null) settings["blocks"] = new JsonArray(sizes[0], sizes[1]);
            evaluation.AddTo(settings, parsed);
            task.Decoding.AddTo(settings, parsed);
            RunFolder folder = common.OpenFolder(parsed, "evaluate", settings);
            PhaseClock clock = new();
            using Guidance guidance = task.Decoding.Guidance(parsed, session.Reference.Ops);
            List<Evaluation> results = experiment.Evaluate(session.Reference, session.Guide, evaluation.Tilts(parsed), evaluation.Etas(parsed), problems, parsed.GetValue(samples), guidance, clock);
            if (sizes is not null)
                results.Add(experiment.EvaluateBlocks(session.Reference, session.Guide!, new BlockSettings(sizes[0], sizes[1]), problems, parsed.GetValue(samples), guidance, clock));
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
