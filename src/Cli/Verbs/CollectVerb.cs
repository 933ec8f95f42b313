using System.CommandLine;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>Roll-ins, cuts and roll-outs of π_ref into an append-only data set.</summary>
internal static class CollectVerb
{
    /// <summary>The same for all verbs that collect hidden states.</summary>
    public static Option<int> HiddenLayer() => OptionFactory.Integer(
        "--hidden-layer", "Layer whose hidden states are stored and then guide, 1 the first; 0: what the reference's head reads, the last one's after the norm.", 0, 0);

    public static Command Create()
    {
        Command verb = new("collect", "Sample roll-outs of a reference into a data set; with --resume it is extended.");
        TaskOptions task = new(verb);
        Option<string?> guide = OptionFactory.OptionalText("--guide", "Folder of a guide for the roll-in of a later round.");
        Option<double> eta = OptionFactory.Eta(0.1);
        Option<int> round = OptionFactory.Integer("--round", "Number of the round.", 1, 1, RolloutCollector.MostRounds);
        verb.Options.Add(guide);
        verb.Options.Add(eta);
        verb.Options.Add(round);
        Option<bool> hidden = OptionFactory.Flag("--hidden", "Store the reference's hidden states beside the roll-outs, for a guide that shares its trunk.");
        Option<int> hiddenLayer = HiddenLayer();
        verb.Options.Add(hidden);
        verb.Options.Add(hiddenLayer);
        Option<string?> shard = OptionFactory.OptionalText("--shard", "i/n: collect only the i-th of n parts of the data set, by its problems, into files of its own in --out; several processes can collect one each.");
        verb.Options.Add(shard);
        CollectOptions collect = new(verb);
        CommonOptions common = new(verb);
        verb.SetAction((parsed, stop) =>
        {
            int number = parsed.GetValue(round);
            string? guideFolder = parsed.GetValue(guide);
            if (parsed.IsGiven(hiddenLayer) && !parsed.GetValue(hidden))
                throw new UserException("--hidden-layer says which layer's hidden states are stored; give --hidden too, or leave it out.");
            if (number == 1 && parsed.FirstGiven(guide, eta) is { } later)
                throw new UserException($"{later.Name} is for the roll-in of a later round, and the first round's is the reference's; add --round 2, or leave it out.");
            using Session session = task.Open(parsed, common, guideFolder, stop);
            Experiment experiment = session.Experiment;
            if (number > 1 && guideFolder is null) throw new UserException($"--round {number}: the roll-in of a later round is guided; give the last round's --guide.");
            Shard part = parsed.GetValue(shard) is not { } text ? Shard.Whole
                : Shard.Parse(text) ?? throw new UserException($"--shard {text}: say i/n with i from 1 to n, for example --shard 1/2.");
            CollectSettings settings = collect.Apply(
                experiment.CollectSettings(number, collect.RollIn(parsed), collect.Samples(parsed), parsed.GetValue(eta), parsed.GetValue(hidden) ? parsed.GetValue(hiddenLayer) : null, session.Guide), parsed) with
            { Shard = part };
            experiment.RequireCollectable(session.Reference, session.Guide, settings);
            if (common.KeptFolder(parsed) is { } kept) RolloutSet.RequireRoom(kept, part);
            string folder = part.IsWhole
                ? common.OpenFolder(parsed, "collect", new JsonObject { ["task"] = experiment.Task.Settings, ["samples"] = settings.SamplesPerProblem }).Path
                : common.SharedFolder(parsed, path => RolloutSet.Exists(path, part));
            long total = RolloutSet.TotalAfter(folder, part, number, collect.Rollouts(parsed, experiment.Recipe), settings.SamplesPerProblem);
            session.NoteContext();
            PhaseClock clock = new();
            SuccessCounts counts = experiment.Collect(folder, session.Reference, session.Guide, settings, total, clock);
            JsonObject more = new() { ["rollouts"] = part.Samples(total, settings.SamplesPerProblem) };
            foreach ((string key, JsonNode? value) in counts.Summary()) more[key] = value?.DeepClone();
            VerbTask.Report(common.Json(parsed), "data", folder, clock, more);
            return Task.FromResult(ExitCodes.Done);
        });
        return verb;
    }
}
