using System.CommandLine;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>Learns a guide from a data set, or a policy.</summary>
internal static class TrainVerb
{
    public static Command Create()
    {
        Command verb = new("train", "Learn a guide from roll-outs, or train a policy, starting from the reference's weights.");
        TaskOptions task = new(verb, ProblemUse.Policies);
        Option<string> method = OptionFactory.Choice("--method", "Method.", "qsharp", [.. Catalog.ValueMethods.Select(each => each.Name), .. Catalog.PolicyMethods.Select(each => each.Name)]);
        verb.Options.Add(method);
        Option<string?> data = OptionFactory.OptionalText("--data", "Folder of the roll-outs; reinforce, rloo and ppo take none, for they sample from the policy itself.");
        verb.Options.Add(data);
        Option<bool> keep = OptionFactory.Flag("--keep-no-variation", "Learn from prompts too whose samples all have the same reward; always so with one sample a prompt.");
        verb.Options.Add(keep);
        Option<double> eta = OptionFactory.Eta("--eta", "The one η that --loss exponential or method qsharp-td learns for; other guides serve every η.", 0.1);
        verb.Options.Add(eta);
        LearningOptions learning = new(verb, parsed => parsed.IsGiven(eta) ? parsed.GetValue(eta) : null);
        RoundingOption rounding = new(verb);
        PolicyOptions policy = new(verb);
        CommonOptions common = new(verb);
        verb.SetAction((parsed, stop) =>
        {
            string name = parsed.GetValue(method)!;
            if (parsed.GetValue(data) is null && Catalog.FindPolicyMethod(name) is not { Data: PolicyData.Policy })
                throw new UserException($"--method {name} learns from roll-outs of the reference; give their folder with --data.");
            policy.RequireUse(parsed, name);
            if (Catalog.FindPolicyMethod(name) is { } entry)
            {
                learning.RequireNone(parsed, name);
                task.Guide.RequireNone(parsed, name);
                if (parsed.IsGiven(eta)) throw new UserException($"--eta is about guides, and --method {name} trains a policy; leave it out.");
                TrainPolicy(entry, parsed.GetValue(data), parsed, task, policy, rounding, common, stop);
                return Task.FromResult(ExitCodes.Done);
            }
            task.Problems.RequireNone(parsed, name);
            ValueMethod chosen = Catalog.FindValueMethod(name)!;
            learning.RequireUse(parsed, chosen);
            using Session session = task.Open(parsed, common, guide: null, stop, learning, chosen.IsSoftBellman ? parsed.GetValue(eta) : double.PositiveInfinity);
            Experiment experiment = session.Experiment;
            if (chosen.IsOfMeans && experiment.Recipe.Settings.Family.Kind != FamilyKind.Bernoulli)
                throw new UserException($"--method {name} learns a mean, not a distribution; leave --family at bernoulli.");
            if (parsed.IsGiven(eta) && experiment.Recipe.Learned(chosen).Eta is null)
                throw new UserException("--eta: this guide serves every η, chosen when it is decoded; leave it out, or learn for one η with --loss exponential.");
            JsonObject settings = TaskOptions.Settings(experiment);
            learning.AddTo(settings, parsed, experiment.Recipe);
            if (chosen.SumsOverNextTokens) task.Decoding.AddTo(settings, parsed);
            rounding.Apply(parsed, session.Reference.Ops.Device, experiment, settings);
            RolloutData rollouts = experiment.LoadRollouts(parsed.GetValue(data)!, session.Reference, parsed.GetValue(keep));
            experiment.RequireLearnable(rollouts, chosen, session.Reference);
            settings["method"] = chosen.Name;
            settings["data"] = rollouts.Fingerprint();
            if (chosen.IsSoftBellman) settings["eta"] = parsed.GetValue(eta);
            RunFolder folder = common.OpenFolder(parsed, "train", settings);
            using MetricsLog metrics = new(folder);
            PhaseClock clock = new();
            LearnedGuide learned = experiment.FindGuide(folder.File("guide"), session.Reference) is { } finished
                ? new LearnedGuide(finished, null)
                : experiment.Learn(folder.File("guide"), folder.File("checkpoints"), "guide", rollouts, session.Reference, chosen, metrics, clock);
            using IGuide guide = learned.Guide;
            JsonObject more = new() { ["parameters"] = guide.ParameterCount, ["problems"] = rollouts.Problems, ["dropped_problems"] = rollouts.DroppedProblems };
            if (learned.Report is { } report)
            {
                folder.WriteJson("held-out.json", report.ToJson());
                more["held_out"] = report.ToJson();
                if (ReliabilityPicture.Draw(folder, report, common.Progress(parsed)) is { } picture) more["picture"] = picture;
            }
            VerbTask.Report(common.Json(parsed), "guide", folder.File("guide"), clock, more);
            return Task.FromResult(ExitCodes.Done);
        });
        return verb;
    }

    /// <summary>Writes a policy: a language model as pretrain writes it.</summary>
    private static void TrainPolicy(
        PolicyEntry entry, string? data, ParseResult parsed, TaskOptions task, PolicyOptions options, RoundingOption rounding, CommonOptions common, CancellationToken stop)
    {
        if (data is not null && entry.Data == PolicyData.Policy)
            throw new UserException($"--method {entry.Name} learns from the policy's own responses; leave --data out.");
        if (entry.Data is PolicyData.Policy or PolicyData.Pairs) task.Problems.RequireProblems(parsed, task.Task(parsed), entry.Name);
        using Session session = task.Open(parsed, common, guide: null, stop);
        Experiment experiment = session.Experiment;
        PolicyRecipe recipe = options.Recipe(parsed, experiment.Recipe);
        recipe.Require(entry);
        RolloutData? rollouts = data is null ? null : experiment.LoadRollouts(data, session.Reference, keepNoVariation: true);
        IBatchSource? source = experiment.DataSource(entry, rollouts);
        JsonObject settings = PolicyOptions.Describe(recipe);
        settings["task"] = experiment.Task.Settings;
        settings["method"] = entry.Name;
        settings["data"] = rollouts?.Fingerprint();
        rounding.Apply(parsed, session.Reference.Ops.Device, experiment, settings);
        RunFolder folder = common.OpenFolder(parsed, "train", settings);
        using MetricsLog metrics = new(folder);
        PhaseClock clock = new();
        using LanguageModel policy = experiment.TrainPolicy(
            entry, recipe, session.Reference, source, folder.File("policy"), folder.File("checkpoints"), metrics, clock);
        VerbTask.Report(common.Json(parsed), "policy", folder.File("policy"), clock, new JsonObject { ["parameters"] = policy.Weights.Count });
    }
}
