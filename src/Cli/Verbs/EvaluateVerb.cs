using System.CommandLine;
using System.Text.Json.Nodes;

using QSharp.Cli.Reports;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>Accuracy and exact KL of a reference, guided or not, on held-out problems.</summary>
internal static class EvaluateVerb
{
    public static Command Create()
    {
        Command verb = new("evaluate", "Accuracy and KL of a reference, guided or not, on held-out problems.");
        TaskOptions task = new(verb, ProblemUse.Evaluation);
        Option<string?> guide = OptionFactory.OptionalText("--guide", "Folder of the guide; without it the reference alone is tested.");
        verb.Options.Add(guide);
        Option<int> samples = OptionFactory.Integer("--samples", "Responses drawn for each problem.", 1, 1, OptionFactory.MostSamples);
        verb.Options.Add(samples);
        BlockOption blocks = new(verb, "also block-wise controlled decoding");
        Option<CommaList<double>> temperatures = OptionFactory.Temperatures(1);
        temperatures.Description += " Each goes with every method and η, and KL from π_ref at --temperature and --top-p is reported too; without it, --temperature alone counts.";
        verb.Options.Add(temperatures);
        EvaluationOptions evaluation = new(verb);
        TiltOptions tilt = new(verb);
        CommonOptions common = new(verb);
        verb.SetAction((parsed, stop) =>
        {
            string? guideFolder = parsed.GetValue(guide);
            BlockSettings? sizes = blocks.Settings(parsed, guideFolder is not null);
            List<TiltFunction> functions = tilt.Functions(parsed, evaluation.Etas(parsed), evaluation.HasEta(parsed), guideFolder is not null);
            if (functions.Count > 0) evaluation.RequireQSharpAlone(parsed);
            if (guideFolder is null) evaluation.RequireNoGuide(parsed);
            using Session session = task.Open(parsed, common, guideFolder, stop);
            TiltOptions.Require(functions, session.Guide);
            Experiment experiment = session.Experiment;
            Problem[] problems = experiment.TestProblems(evaluation.TestGraphs(parsed), parsed.GetValue(samples));
            bool hasTemperatures = parsed.IsGiven(temperatures);
            double[] all = hasTemperatures ? parsed.GetValue(temperatures).Values : [experiment.Recipe.Temperature];
            if (session.Guide is { } own)
                foreach (double temperature in all) (experiment.Recipe with { Temperature = (float)temperature }).RequireDraws(own.Settings);
            List<Policy> policies = experiment.Policies(session.Guide, evaluation.Tilts(parsed), evaluation.Etas(parsed), functions, all);   // refuses what the guide cannot do before anything is written
            JsonObject settings = new() { ["task"] = experiment.Task.Settings, ["model"] = task.Model(parsed), ["guide"] = guideFolder, ["samples"] = parsed.GetValue(samples) };
            settings["temperatures"] = new JsonArray([.. all.Select(temperature => (JsonNode)temperature)]);
            if (sizes is not null) settings["blocks"] = new JsonArray(sizes.Count, sizes.Tokens);
            evaluation.AddTo(settings, parsed);
            tilt.AddTo(settings, parsed);
            task.Decoding.AddTo(settings, parsed);
            RunFolder folder = common.OpenFolder(parsed, "evaluate", settings);
            session.NoteContext();
            using Guidance guidance = task.Decoding.Guidance(parsed, session.Reference.Ops);
            List<Evaluation> results = experiment.Evaluate(
                session.Reference, session.Guide, policies, problems, parsed.GetValue(samples), guidance,
                origin: hasTemperatures && experiment.Recipe.Temperature > 0 ? experiment.Recipe.Reference : null, judges: parsed.GetValue(samples) > 1,
                folder.File("responses.bin"));
            if (sizes is not null)
                results.Add(experiment.EvaluateBlocks(session.Reference, session.Guide!, sizes, problems, parsed.GetValue(samples), guidance, folder.File("responses-blocks.bin")));
            EvaluationReport report = new(task.Name(parsed), experiment.Task, problems, results, task.Model(parsed), guideFolder);
            JsonObject result = report.ToJson();
            report.Write(folder, settings, common.Progress(parsed));
            folder.WriteJson("result.json", result);
            if (common.Json(parsed)) Console.Out.WriteLine(result.ToJsonString());
            else report.Print(Console.Out, folder);
            return Task.FromResult(ExitCodes.Done);
        });
        return verb;
    }
}
