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
        VerbTask.AddOption(verb);
        Option<string> method = OptionFactory.Choice("--method", "Method.", "qsharp", [.. Catalog.ValueMethods.Select(each => each.Name)]);
        verb.Options.Add(method);
        Option<string?> model = VerbTask.RequiredFolder(verb, "--model", "Folder of the reference.");
        Option<string?> data = VerbTask.RequiredFolder(verb, "--data", "Folder of the roll-outs.");
        Option<bool> keep = OptionFactory.Flag("--keep-no-variation", "Learn from prompts too whose samples all have the same reward; always so with one sample a prompt.");
        verb.Options.Add(keep);
        StarGraphOptions graph = new(verb);
        CommonOptions common = new(verb);
        verb.SetAction((parsed, stop) =>
        {
            StarGraphRecipe recipe = graph.Recipe(parsed);
            ValueMethod chosen = Catalog.FindValueMethod(parsed.GetValue(method)!)!;
            if (chosen.Name == "cd" && recipe.Guide.Family.Kind != FamilyKind.Bernoulli)
                throw new UserException("--method cd learns a mean, not a distribution; leave --family at bernoulli.");
            using Session session = new(parsed, common, recipe, parsed.GetValue(model)!, guide: null, stop);
            StarGraphExperiment experiment = session.Experiment;
            List<Rollout> rollouts = experiment.LoadRollouts(parsed.GetValue(data)!, session.Reference, parsed.GetValue(keep));
            JsonObject settings = StarGraphOptions.Settings(recipe);
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
