using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>Roll-outs to learn from, and how π_ref was sampled for them.</summary>
/// <param name="Train">Those of the problems that are learned from.</param>
/// <param name="HeldOut">Those of the problems that tell which parameters to keep; may be none.</param>
/// <param name="Hidden">Path of the hidden states; null where none were stored.</param>
/// <param name="FirstStates">For each sample, the row of its response's first hidden state; and as the last entry, their number.</param>
/// <param name="Problems">Of the whole data set.</param>
/// <param name="DroppedProblems">Those of them whose samples all had the same reward, where such are left out.</param>
public sealed record RolloutData(
    List<Rollout> Train, List<Rollout> HeldOut, float Temperature, float TopP, string? Hidden, long[] FirstStates, int Problems = 0, int DroppedProblems = 0)
{
    /// <summary>The same with other rewards.</summary>
    public RolloutData With(Func<Rollout, Rollout> change) => this with { Train = [.. Train.Select(change)], HeldOut = [.. HeldOut.Select(change)] };
}

public sealed partial class Experiment
{
    /// <summary>
    /// Settings of one round: the first rolls in with π_ref, later ones with the guide of the round before. Those are always
    /// cut and continued by π_ref, whose value is learned; a whole guided response would bear the guided policy's.
    /// </summary>
    /// <param name="rollIn">Of the first round.</param>
    /// <param name="hidden">Whether π_ref's hidden states are stored too.</param>
    /// <param name="guide">Of the round before; null: one as the recipe has it.</param>
    public CollectSettings CollectSettings(int round, RollIn rollIn, int samplesPerProblem, double eta, bool hidden, IGuide? guide = null) => new(
        samplesPerProblem, round == 1 ? rollIn : RollIn.Policy, round == 1 ? recipe.Reference : recipe.With(guide).Rule(Tilt.LogMeanExp, eta), round, seed, rows,
        recipe.Candidates, hidden);

    /// <summary>Adds a round of roll-outs to a data set, going on where an interrupted call stopped.</summary>
    /// <param name="guide">The policy of the roll-in, for rounds after the first.</param>
    /// <param name="total">Roll-outs that the set holds when the round is done.</param>
    public void Collect(string folder, LanguageModel reference, IGuide? guide, CollectSettings settings, long total, PhaseClock clock)
    {
        using PhaseClock.Running running = clock.Start("collect");
        using RolloutFile file = OpenSet(folder, reference, settings.Rule, settings.SamplesPerProblem, settings.Hidden);
        if (file.Records >= total) return;
        int width = reference.Config.Width;
        using FileStream? states = settings.Hidden ? OpenStates(folder, width, file.ResponseTokens, total - file.Records) : null;
        using RolloutCollector collector = new(Task, reference, guide, settings, Philox.Key(seed, PostTrainStream));
        collector.Run(file.Records, total, (batch, hidden) =>
        {
            // States first: a record that is there has all of its own.
            if (states is not null) HiddenFile.Write(states, hidden, width);
            file.Write(batch);
        }, progress, stop);
    }

    /// <summary>A data set to append to, made if it is not there.</summary>
    private RolloutFile OpenSet(string folder, LanguageModel reference, GuidanceRule rule, int samplesPerProblem, bool hidden)
    {
        string fingerprint = ModelFolder.Fingerprint(reference);
        RolloutSet set = new(Task.Fingerprint, Task.Vocabulary, fingerprint, new JsonObject
        {
            ["seed"] = seed,
            ["samples_per_problem"] = samplesPerProblem,
            ["temperature"] = rule.Temperature,
            ["top_p"] = rule.TopP,
            ["hidden"] = hidden,
        });
        if (RolloutSet.Exists(folder))
        {
            RolloutSet old = RolloutSet.Load(folder);
            old.Require(folder, Task, fingerprint);
            if (!JsonNode.DeepEquals(old.Collection, set.Collection))
                throw new UserException($"{folder}: the data set was collected with other settings ({old.Collection.ToJsonString()}); use the same, or another folder.");
        }
        else
        {
            set.Save(folder);
        }
        RolloutFile file = RolloutFile.Append(RolloutSet.DataPath(folder));
        if (file.DroppedBytes > 0) progress.Note($"{folder}: dropped {file.DroppedBytes} bytes of a record that was cut short.");
        return file;
    }

    /// <summary>Loads a data set that was made with a reference for this task.</summary>
    /// <param name="keepNoVariation">Keeps problems whose samples all have the same reward; always so with one sample a problem.</param>
    /// <exception cref="UserException">The set is damaged, or of another task, vocabulary or reference.</exception>
    public RolloutData LoadRollouts(string data, LanguageModel reference, bool keepNoVariation)
    {
        RolloutSet set = RolloutSet.Load(data);
        set.Require(data, Task, ModelFolder.Fingerprint(reference));
        List<Rollout> rollouts = RolloutFile.Read(RolloutSet.DataPath(data));
        RequireTokens(data, rollouts);
        bool keepsAll = keepNoVariation || (int?)set.Collection["samples_per_problem"] == 1, hidden = (bool?)set.Collection["hidden"] ?? false;
        List<Rollout> kept = keepsAll ? rollouts : WithVariation(rollouts);
        int problems = Problems(rollouts), left = Problems(kept);
        if (left < problems)
            progress.Note(FormattableString.Invariant(
                $"{problems - left} of {problems} problems dropped ({100.0 * (problems - left) / problems:0.0} %), with {rollouts.Count - kept.Count} of {rollouts.Count} roll-outs: all samples of each had the same reward."));
        if (problems > 0 && left == 0)
            throw new UserException($"{data}: all samples of every problem have the same reward, so that there is nothing to tell apart; collect more samples of each, or keep them with --keep-no-variation.");
        ILookup<bool, Rollout> parts = kept.ToLookup(rollout => IsHeldOut(rollout.Problem));
        return new RolloutData(
            [.. parts[false]], [.. parts[true]], (float?)set.Collection["temperature"] ?? 1, (float?)set.Collection["top_p"] ?? 1,
            hidden ? RolloutSet.HiddenPath(data) : null, FirstStates(rollouts), problems, problems - left);
    }

    /// <summary>A share of the problems, the same ones in every round.</summary>
    private bool IsHeldOut(long problem)
    {
        if (recipe.HeldOut == 0) return false;
        (uint word, _, _, _) = Philox.Block(Philox.Key(seed, HeldOutStream), (uint)problem, (uint)(problem >> 32), 0, 0);
        return Philox.Uniform(word) < recipe.HeldOut;
    }

    private FileStream OpenStates(string folder, int width, long rows, long rollouts)
    {
        double bytes = (double)rollouts * Task.ResponseLimit * HiddenFile.RowBytes(width);
        progress.Note(FormattableString.Invariant(
            $"{folder}: hidden states will take {bytes / (1 << 20):0} MiB at most ({rollouts} roll-outs of up to {Task.ResponseLimit} tokens, {HiddenFile.RowBytes(width)} bytes each)."));
        return HiddenFile.Append(RolloutSet.HiddenPath(folder), width, rows);
    }

    private static long[] FirstStates(List<Rollout> rollouts)
    {
        long[] first = new long[rollouts.Count + 1];
        for (int i = 0; i < rollouts.Count; i++) first[i + 1] = first[i] + rollouts[i].Tokens.Length - rollouts[i].PromptLength;
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
