using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

public sealed partial class Experiment
{
    /// <summary>
    /// Settings of one round: the first rolls in with π_ref, later ones with the guide of the round before. Those are always
    /// cut and continued by π_ref, whose value is learned; a whole guided response would bear the guided policy's.
    /// </summary>
    /// <param name="rollIn">Of the first round.</param>
    /// <param name="hiddenLayer">As of the settings.</param>
    /// <param name="guide">Of the round before; null: one as the recipe has it.</param>
    public CollectSettings CollectSettings(int round, RollIn rollIn, int samplesPerProblem, double eta, int? hiddenLayer, IGuide? guide = null) => new(
        samplesPerProblem, round == 1 ? rollIn : RollIn.Policy, round == 1 ? recipe.Reference : recipe.With(guide).Rule(Catalog.QSharp, eta), round, seed, rows,
        recipe.Candidates, hiddenLayer);

    /// <summary>Adds a round of roll-outs to a data set, going on where an interrupted call stopped.</summary>
    /// <param name="guide">The policy of the roll-in, for rounds after the first.</param>
    /// <param name="total">Roll-outs that the whole set holds when the round is done, of which a shard has its share.</param>
    /// <returns>Successes of all prompts so far, which are stored too.</returns>
    public SuccessCounts Collect(string folder, LanguageModel reference, IGuide? guide, CollectSettings settings, long total, PhaseClock clock)
    {
        Shard shard = settings.Shard;
        JsonObject collection = Collection(settings.Rule, settings.SamplesPerProblem, settings.HiddenLayer is not null);
        if (settings.HiddenLayer is > 0 and var layer) collection["hidden_layer"] = layer;
        if (settings.SwitchTopK > 0) collection["switch_top_k"] = settings.SwitchTopK;
        if (settings.RollOutLimit > 0) collection["rollout_limit"] = settings.RollOutLimit;
        using PhaseClock.Running running = clock.Start("collect");
        RequireCollectable(reference, guide, settings);
        using (RolloutFile file = OpenSet(folder, shard, reference, collection, settings.Round, RollInOf(settings), total))
        {
            long records = shard.Samples(total, settings.SamplesPerProblem);
            if (file.Records < records) Collect(folder, reference, guide, settings, file, records);
        }
        SuccessCounts counts = SuccessCounts.Of(RolloutFile.Read(RolloutSet.DataPath(folder, shard)));
        JsonFile.Write(RolloutSet.CountsPath(folder, shard), counts.ToJson());
        return counts;
    }

    private void Collect(string folder, LanguageModel reference, IGuide? guide, CollectSettings settings, RolloutFile file, long total)
    {
        int width = reference.Config.Width;
        string path = RolloutSet.HiddenPath(folder, settings.Shard);
        using FileStream? states = settings.HiddenLayer is not null ? OpenStates(path, width, file.ResponseTokens, total - file.Records, Task.ResponseLimit + settings.RollOutLimit) : null;
        using RolloutCollector collector = new(Task, reference, guide, settings, Philox.Key(seed, PostTrainStream));
        collector.Run(file.Records, total, (batch, hidden) =>
        {
            // States first: a record that is there has all of its own.
            if (states is not null) HiddenFile.Write(states, hidden, width);
            file.Write(batch);
        }, progress, stop);
    }

    /// <summary>Refuses what cannot be collected, before anything is written.</summary>
    /// <exception cref="UserException">
    /// There is no problem to learn from; π_ref has no such layer, or the guide of the roll-in reads another one: a pass keeps the states of one layer.
    /// </exception>
    public void RequireCollectable(LanguageModel reference, IGuide? guide, CollectSettings settings)
    {
        _ = Task.Problem(Split.PostTrain, Philox.Key(seed, PostTrainStream), 0);
        if (settings.HiddenLayer > reference.Config.Layers)
            throw new UserException($"--hidden-layer {settings.HiddenLayer}: the reference has {reference.Config.Layers} layers; give one of them, or 0 for what its head reads.");
        if (settings.HiddenLayer is { } layer && settings.Rule.IsGuided && guide is SharedTrunkGuide shared && shared.ReferenceLayer != layer)
            throw new UserException($"--hidden-layer {layer}: the guide of the roll-in reads layer {shared.ReferenceLayer}; store the states of that one, or roll in with a guide on the other.");
    }

    /// <summary>What a data set says of how it was collected.</summary>
    private JsonObject Collection(GuidanceRule rule, int samplesPerProblem, bool hidden) => new()
    {
        ["source"] = Task.Source,
        ["seed"] = seed,
        ["samples_per_problem"] = samplesPerProblem,
        ["temperature"] = rule.Temperature,
        ["top_p"] = rule.TopP,
        ["hidden"] = hidden,
    };

    /// <summary>What a data set says of one round.</summary>
    private static JsonObject RollInOf(CollectSettings settings)
    {
        JsonObject json = new() { ["roll_in"] = settings.RollIn.ToString().ToLowerInvariant() };
        if (settings.Rule.IsGuided) (json["lambda"], json["candidates"]) = (settings.Rule.Lambda, settings.Candidates);
        return json;
    }

    /// <summary>A shard to append to, made if it is not there.</summary>
    /// <param name="rollIn">See <see cref="RollInOf"/>.</param>
    /// <param name="total">Roll-outs that the whole set holds when the round is done.</param>
    private RolloutFile OpenSet(string folder, Shard shard, LanguageModel reference, JsonObject collection, int round, JsonObject rollIn, long total)
    {
        string fingerprint = ModelFolder.Fingerprint(reference);
        RolloutSet set = new(Task.Fingerprint, Task.Vocabulary, fingerprint, collection);
        if (RolloutSet.Exists(folder, shard))
        {
            RolloutSet old = RolloutSet.Load(folder, shard);
            old.Require(folder, Task, fingerprint);
            if (!JsonNode.DeepEquals(old.Collection, set.Collection))
                throw new UserException($"{folder}: the data set was collected with other settings ({old.Collection.ToJsonString()}); use the same, or another folder.");
            set = set with { Rounds = old.Rounds };
        }
        set.Begin(folder, shard, round, rollIn, total);
        set.Save(folder, shard);
        RolloutFile file = RolloutFile.Append(RolloutSet.DataPath(folder, shard));
        if (file.DroppedBytes > 0) progress.Note($"{folder}: dropped {file.DroppedBytes} bytes of a record that was cut short.");
        return file;
    }

    /// <summary>Loads a data set that was made with a reference for this task.</summary>
    /// <param name="keepNoVariation">Keeps problems whose samples all have the same reward; always so with one sample a problem.</param>
    /// <exception cref="UserException">The set is damaged, or of another task, vocabulary or reference.</exception>
    public RolloutData LoadRollouts(string data, LanguageModel reference, bool keepNoVariation)
    {
        (RolloutSet set, Shard[] shards, Rollout[][] parts, List<Rollout> rollouts) = ReadSet(data, reference);
        bool keepsAll = keepNoVariation || (int?)set.Collection["samples_per_problem"] == 1, hidden = (bool?)set.Collection["hidden"] ?? false;
        List<Rollout> kept = keepsAll ? rollouts : WithVariation(rollouts);
        int problems = Problems(rollouts), left = Problems(kept);
        if (left < problems)
            progress.Note(FormattableString.Invariant(
                $"{problems - left} of {problems} problems dropped ({100.0 * (problems - left) / problems:0.0} %), with {rollouts.Count - kept.Count} of {rollouts.Count} roll-outs: all samples of each had the same reward."));
        if (problems > 0 && left == 0)
            throw new UserException($"{data}: all samples of every problem have the same reward, so that there is nothing to tell apart; collect more samples of each, or keep them with --keep-no-variation.");
        HashSet<long> heldOut = HeldOutProblems(kept);
        ILookup<bool, Rollout> split = kept.ToLookup(rollout => heldOut.Contains(rollout.Problem));
        IReadOnlyList<HiddenPart>? states = hidden ? [.. shards.Zip(parts, (shard, part) => new HiddenPart(RolloutSet.HiddenPath(data, shard), part.Sum(ResponseTokens)))] : null;
        return new RolloutData(
            [.. split[false]], [.. split[true]], (float?)set.Collection["temperature"] ?? 1, (float?)set.Collection["top_p"] ?? 1, states, FirstStates(parts), problems,
            problems - left, (int?)set.Collection["hidden_layer"] ?? 0, set.IsSwitched);
    }

    /// <summary>The roll-outs of all shards of a data set that was made with a reference for this task.</summary>
    private (RolloutSet Set, Shard[] Shards, Rollout[][] Parts, List<Rollout> Rollouts) ReadSet(string data, LanguageModel reference)
    {
        (RolloutSet set, Shard[] shards) = RolloutSet.Open(data);
        set.Require(data, Task, ModelFolder.Fingerprint(reference));
        if (shards.Length < shards[0].Count)
            progress.Note($"{data}: {shards.Length} of {shards[0].Count} shards are here; only these are read.");
        Rollout[][] parts = [.. shards.Select(shard => RolloutFile.Read(RolloutSet.DataPath(data, shard)).ToArray())];
        // By their numbers, so that shards are learned from as the whole would be.
        List<Rollout> rollouts = [.. parts.SelectMany(part => part).OrderBy(rollout => rollout.Sample)];
        RequireTokens(data, rollouts);
        return (set, shards, parts, rollouts);
    }

    /// <summary>
    /// A share of the problems, by chance, each with all its samples and the same ones in every round; one, if chance takes none and the
    /// share is that of one.
    /// </summary>
    private HashSet<long> HeldOutProblems(List<Rollout> rollouts)
    {
        if (recipe.HeldOut == 0) return [];
        (long Problem, float Draw)[] draws = [.. rollouts.Select(rollout => rollout.Problem).Distinct().Select(problem => (problem, Draw(problem)))];
        HashSet<long> heldOut = [.. draws.Where(each => each.Draw < recipe.HeldOut).Select(each => each.Problem)];
        if (heldOut.Count == 0 && draws.Length * recipe.HeldOut >= 1) heldOut.Add(draws.MinBy(each => each.Draw).Problem);
        if (heldOut.Count == draws.Length) heldOut.Remove(draws.MaxBy(each => each.Draw).Problem);
        return heldOut;

        float Draw(long problem) => Philox.Uniform(Philox.Block(Philox.Key(seed, HeldOutStream), (uint)problem, (uint)(problem >> 32), 0, 0).X0);
    }

    /// <param name="longest">Most tokens of a response.</param>
    private FileStream OpenStates(string path, int width, long rows, long rollouts, int longest)
    {
        double bytes = (double)rollouts * longest * HiddenFile.RowBytes(width);
        progress.Note(FormattableString.Invariant(
            $"{path}: hidden states will take {bytes / (1 << 20):0} MiB at most ({rollouts} roll-outs of up to {longest} tokens, {HiddenFile.RowBytes(width)} bytes each)."));
        return HiddenFile.Append(path, width, rows);
    }

    private static long ResponseTokens(Rollout rollout) => rollout.Tokens.Length - rollout.PromptLength;

    /// <param name="parts">Roll-outs of each shard, in the order of their states.</param>
    private static long[] FirstStates(Rollout[][] parts)
    {
        long[] first = new long[parts.SelectMany(part => part).Select(rollout => rollout.Sample + 1).DefaultIfEmpty(0).Max()];
        long row = 0;
        foreach (Rollout rollout in parts.SelectMany(part => part))
        {
            first[rollout.Sample] = row;
            row += ResponseTokens(rollout);
        }
        return first;
    }

    /// <summary>Drops every problem whose samples all have the same reward: they say nothing about a choice (Algorithm 1).</summary>
    private static List<Rollout> WithVariation(List<Rollout> rollouts)
    {
        HashSet<long> varied = [.. rollouts.GroupBy(rollout => rollout.Problem)
            .Where(group => group.Select(rollout => rollout.Reward).Distinct().Count() > 1).Select(group => group.Key)];
        return [.. rollouts.Where(rollout => varied.Contains(rollout.Problem))];
    }

    private static int Problems(List<Rollout> rollouts) => rollouts.Select(rollout => rollout.Problem).Distinct().Count();

    private void RequireTokens(string data, List<Rollout> rollouts)
    {
        foreach (Rollout rollout in rollouts)
            foreach (int token in rollout.Tokens)
                if ((uint)token >= (uint)Task.Vocabulary)
                    throw new UserException($"{data}: sample {rollout.Sample} holds token {token}, but the vocabulary has {Task.Vocabulary}; this data set was made with another vocabulary.");
    }
}
