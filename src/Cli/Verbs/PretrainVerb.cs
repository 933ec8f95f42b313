using System.CommandLine;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>Next-token training of a reference from scratch.</summary>
internal static class PretrainVerb
{
    public static Command Create()
    {
        Command verb = new("pretrain", "Train a reference from scratch on a task; --out becomes a model folder.");
        verb.Options.Add(OptionFactory.Choice("--task", "Task.", Catalog.StarGraph, [Catalog.StarGraph]));
        StarGraphOptions graph = new(verb);
        RoundingOption rounding = new(verb);
        CommonOptions common = new(verb);
        verb.SetAction((parsed, stop) =>
        {
            StarGraphRecipe recipe = graph.Recipe(parsed);
            IProgressSink progress = common.Progress(parsed);
            (Device device, Ops ops) = common.Open(parsed);
            using Device owned = device;
            Experiment experiment = new(ops, new StarGraphTask(recipe.Graph), recipe.Guide, common.Seed(parsed), 1, progress, stop);
            JsonObject settings = StarGraphOptions.Settings(recipe);
            rounding.Apply(parsed, device, experiment, settings);
            RunFolder folder = common.OpenFolder(parsed, "pretrain", settings);
            progress.Note(StarGraphOptions.Describe(recipe));
            using MetricsLog metrics = new(folder);
            PhaseClock clock = new();
            using LanguageModel model = experiment.Pretrain(recipe.Reference, folder.File("model"), folder.File("checkpoints"), metrics, clock);
            VerbTask.Report(common.Json(parsed), "model", folder.File("model"), clock, new JsonObject { ["parameters"] = model.Weights.Count });
            return Task.FromResult(ExitCodes.Done);
        });
        return verb;
    }
}
