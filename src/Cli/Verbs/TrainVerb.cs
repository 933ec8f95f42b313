using System.CommandLine;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>Learns a guide from a data set.</summary>
internal static class TrainVerb
{
    public static Command Create()
    {
        Command verb = new("train", "Learn a guide from roll-outs, starting from the reference's weights.");
        TaskOptions task = new(verb, readsProblems: false);
        Option<string> method = OptionFactory.Choice("--method", "Method.", "qsharp", [.. Catalog.ValueMethods.Select(each => each.Name)]);
        verb.Options.Add(method);
        Option<string?> data = VerbTask.RequiredFolder(verb, "--data", "Folder of the roll-outs.");
        Option<bool> keep = OptionFactory.Flag("--keep-no-variation", "Learn from prompts too whose samples all have the same reward; always so with one sample a prompt.");
        verb.Options.Add(keep);
        CommonOptions common = new(verb);
        verb.SetAction((parsed, stop) =>
        {
            ValueMethod chosen = Catalog.FindValueMethod(parsed.GetValue(method)!)!;
            using Session session = task.Open(parsed, common, guide: null, stop);
            Experiment experiment = session.Experiment;
            if (chosen.Name == "cd" && experiment.Recipe.Settings.Family.Kind != FamilyKind.Bernoulli)
                throw new UserException("--method cd learns a mean, not a distribution; leave --family at bernoulli.");
            RolloutData rollouts = experiment.LoadRollouts(parsed.GetValue(data)!, session.Reference, parsed.GetValue(keep));
            JsonObject settings = TaskOptions.Settings(experiment);
            settings["method"] = chosen.Name;
            RunFolder folder = common.OpenFolder(parsed, "train", settings);
            using MetricsLog metrics = new(folder);
            PhaseClock clock = new();
            using ValueModel guide = experiment.FindGuide(folder.File("guide"), session.Reference) ?? experiment.Learn(
                folder.File("guide"), folder.File("checkpoints"), "guide", rollouts, session.Reference, chosen, metrics, clock);
            VerbTask.Report(common.Json(parsed), "guide", folder.File("guide"), clock, new JsonObject { ["parameters"] = guide.Weights.Count });
            return Task.FromResult(ExitCodes.Done);
        });
        return verb;
    }
}
