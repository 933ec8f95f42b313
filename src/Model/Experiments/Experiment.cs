using System.Diagnostics;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// The phases of an experiment on a task, each complete in its folder before the next begins, so that a stopped run
/// goes on where it was: pre-train π_ref, collect roll-outs, learn the guide, evaluate. The separate verbs call the same phases.
/// </summary>
public sealed class Experiment(Ops ops, ITask task, GuideRecipe recipe, ulong seed, int rows, IProgressSink progress, CancellationToken stop)
{
    // Streams of the seed; a phase's draws do not depend on what other phases drew.
    private const uint InitStream = 1, PretrainStream = 2, PostTrainStream = 3, OrderStream = 4, TestStream = 5, EvaluateStream = 6;

    // Times through the roll-outs where the recipe does not say how many steps.
    private const int Epochs = 3;

    private static readonly OptimizerSettings AdamW = new(new LearningRate(0, 0, 0), Beta1: 0.9f, Beta2: 0.99f, ClipNorm: 1);

    public ITask Task => task;

    public GuideRecipe Recipe => recipe;

    /// <summary>How training rounds BF16 copies of the weights.</summary>
    public bool RoundsStochastically { get; set; }

    /// <summary>Loads the reference of a folder, or trains it there.</summary>
    /// <param name="scratch">Where checkpoints of an unfinished phase lie.</param>
    public LanguageModel Pretrain(PretrainRecipe pretrain, string folder, string scratch, MetricsLog metrics, PhaseClock clock)
    {
        if (ModelFolder.Exists(folder)) return ModelFolder.LoadLanguageModel(ops, folder, Task);
        using PhaseClock.Running running = clock.Start("pretrain");
        LanguageModel model = new(ops, pretrain.Model);
        Initializer.Fresh(model.Weights, pretrain.Model, Philox.Key(seed, InitStream), zeroHead: false);
        LearningRate rate = new(pretrain.Rate, pretrain.Warmup, pretrain.Steps);
        ProblemSource source = new(Task, Philox.Key(seed, PretrainStream));
        using Trainer trainer = new(model, new PretrainMethod(), source, AdamW with { Rate = rate, RoundsStochastically = RoundsStochastically }, pretrain.Batch);
        new TrainingRun(trainer, "reference", scratch, Fingerprint($"pretrain {pretrain}"), metrics).Run(pretrain.Steps, progress, stop);
        ModelFolder.Save(model, folder, Task.Fingerprint);
        TrainerCheckpoint.Delete(scratch);
        clock.AddTokens(trainer.TokensTrained, trainer.SecondsTrained);
        return model;
    }

    /// <summary>Adds a round of roll-outs to a data set, going on where an interrupted call stopped.</summary>
    /// <param name="guide">The policy of the roll-in, for rounds after the first.</param>
    /// <param name="total">Roll-outs that the set holds when the round is done.</param>
    public void Collect(string folder, LanguageModel reference, ValueModel? guide, CollectSettings settings, long total, PhaseClock clock)
    {
        string fingerprint = ModelFolder.Fingerprint(reference);
        RolloutSet set = new(Task.Fingerprint, Task.Vocabulary, fingerprint, new JsonObject
        {
            ["seed"] = seed,
            ["samples_per_problem"] = settings.SamplesPerProblem,
            ["temperature"] = settings.Rule.Temperature,
            ["top_p"] = settings.Rule.TopP,
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
        using PhaseClock.Running running = clock.Start("collect");
        using RolloutFile file = RolloutFile.Append(RolloutSet.DataPath(folder));
        if (file.DroppedBytes > 0) progress.Note($"{folder}: dropped {file.DroppedBytes} bytes of a record that was cut short.");
        if (file.Records >= total) return;
        using RolloutCollector collector = new(Task, reference, guide, settings, Philox.Key(seed, PostTrainStream));
        collector.Run(file.Records, total, batch => file.Write(batch), progress, stop);
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
        bool keepsAll = keepNoVariation || (int?)set.Collection["samples_per_problem"] == 1;
        return new RolloutData(
            keepsAll ? rollouts : WithVariation(rollouts), (float?)set.Collection["temperature"] ?? 1, (float?)set.Collection["top_p"] ?? 1);
    }

    /// <summary>The finished guide of a folder, or null where there is none yet.</summary>
    public ValueModel? FindGuide(string folder, LanguageModel reference) =>
        ModelFolder.Exists(folder) ? ModelFolder.LoadValueModel(ops, folder, Task.Fingerprint, Task.Vocabulary, ModelFolder.Fingerprint(reference)).Model : null;

    /// <summary>Trains a guide on roll-outs, from the reference's weights.</summary>
    /// <param name="folder">Where the finished guide goes.</param>
    /// <param name="scratch">Where checkpoints of an unfinished phase lie.</param>
    /// <param name="name">Of the phase: each round has its own.</param>
    public ValueModel Learn(
        string folder, string scratch, string name, RolloutData data, LanguageModel reference, ValueMethod method, MetricsLog metrics, PhaseClock clock)
    {
        using PhaseClock.Running running = clock.Start("train");
        ValueModel guide = new(ops, reference.Config, recipe.Settings);
        Initializer.Fresh(guide.Weights, reference.Config, Philox.Key(seed, InitStream), zeroHead: true);
        Initializer.CopyShared(reference.Weights, guide.Weights, "head", "head_bias");
        RolloutSource source = new(data.Rollouts, recipe.Settings, Philox.Key(seed, OrderStream));
        int steps = recipe.Steps > 0 ? recipe.Steps : Math.Max(1, Epochs * data.Rollouts.Count / recipe.Batch);
        LearningRate rate = new(recipe.Rate, Math.Min(recipe.Warmup, steps / 10), steps);
        using Trainer trainer = new(guide, method.Create(recipe.Settings.Family), source, AdamW with { Rate = rate, RoundsStochastically = RoundsStochastically }, recipe.Batch);
        new TrainingRun(trainer, name, scratch, Fingerprint($"{name} {method.Name}"), metrics).Run(steps, progress, stop);
        ModelFolder.Save(guide, folder, new GuideOrigin(Task.Fingerprint, ModelFolder.Fingerprint(reference), data.Temperature, data.TopP));
        TrainerCheckpoint.Delete(scratch);
        clock.AddTokens(trainer.TokensTrained, trainer.SecondsTrained);
        return guide;
    }

    /// <summary>The held-out problems of this seed.</summary>
    public Problem[] TestProblems(int count) => Task.TestProblems(Philox.Key(seed, TestStream), count);

    /// <summary>Evaluates π_ref and, for each tilt and η, the guide.</summary>
    public List<Evaluation> Evaluate(
        LanguageModel reference, ValueModel? guide, IReadOnlyList<ValueMethod> tilts, IReadOnlyList<double> etas, Problem[] problems, int samples, Guidance guidance, PhaseClock clock)
    {
        using PhaseClock.Running running = clock.Start("evaluate");
        Evaluator evaluator = new(Task, problems, samples, rows, recipe.Candidates);
        ulong key = Philox.Key(seed, EvaluateStream);
        List<Evaluation> results =
            [evaluator.Run("reference", double.PositiveInfinity, reference, null, guidance, recipe.Reference, key, progress, stop)];
        if (guide is null) return results;
        foreach (ValueMethod tilt in tilts)
            foreach (double eta in etas)
                results.Add(evaluator.Run(tilt.Name, eta, reference, guide, guidance, recipe.Rule(tilt.Tilt, eta), key, progress, stop));
        return results;
    }

    /// <summary>
    /// Settings of one round: the first rolls in with π_ref, later ones with the guide of the round before. Those are always
    /// cut and continued by π_ref, whose value is learned; a whole guided response would bear the guided policy's.
    /// </summary>
    /// <param name="rollIn">Of the first round.</param>
    public CollectSettings CollectSettings(int round, RollIn rollIn, int samplesPerProblem, double eta) => new(
        samplesPerProblem, round == 1 ? rollIn : RollIn.Policy, round == 1 ? recipe.Reference : recipe.Rule(Tilt.LogMeanExp, eta), round, seed, rows, recipe.Candidates);

    /// <summary>Drops every problem whose samples all have the same reward: they say nothing about a choice (Algorithm 1).</summary>
    private List<Rollout> WithVariation(List<Rollout> rollouts)
    {
        HashSet<long> varied = [.. rollouts.GroupBy(rollout => rollout.Problem)
            .Where(group => group.Select(rollout => rollout.Reward).Distinct().Count() > 1).Select(group => group.Key)];
        List<Rollout> kept = [.. rollouts.Where(rollout => varied.Contains(rollout.Problem))];
        progress.Note($"{rollouts.Count - kept.Count} of {rollouts.Count} roll-outs dropped: all samples of their problem had the same reward.");
        return kept;
    }

    private void RequireTokens(string data, List<Rollout> rollouts)
    {
        foreach (Rollout rollout in rollouts)
            foreach (int token in rollout.Tokens)
                if ((uint)token >= (uint)Task.Vocabulary)
                    throw new UserException($"{data}: sample {rollout.Sample} holds token {token}, but the vocabulary has {Task.Vocabulary}; this data set was made with another vocabulary.");
    }

    private string Fingerprint(string phase) => FormattableString.Invariant($"{phase}; seed {seed}; {Task.Settings}; {recipe}{(RoundsStochastically ? "; stochastic rounding" : "")}");
}

/// <summary>Roll-outs to learn from, and how π_ref was sampled for them.</summary>
public sealed record RolloutData(List<Rollout> Rollouts, float Temperature, float TopP);

/// <summary>Seconds that each phase took, added up over interruptions, and tokens trained.</summary>
public sealed class PhaseClock
{
    private readonly SortedDictionary<string, double> _seconds = new(StringComparer.Ordinal);
    private double _trainSeconds;
    private long _trainTokens;

    /// <summary>Reads what an earlier part of the run took.</summary>
    public PhaseClock(JsonObject? saved = null)
    {
        if (saved?["seconds"] is JsonObject seconds)
            foreach ((string phase, JsonNode? value) in seconds) _seconds[phase] = (double?)value ?? 0;
        _trainSeconds = (double?)saved?["train_seconds"] ?? 0;
        _trainTokens = (long?)saved?["train_tokens"] ?? 0;
    }

    public double TrainingTokensPerSecond => _trainSeconds > 0 ? _trainTokens / _trainSeconds : 0;

    public double Seconds(string phase) => _seconds.GetValueOrDefault(phase);

    /// <summary>Times a phase until the result is disposed.</summary>
    public Running Start(string phase) => new(this, phase);

    public void AddTokens(long tokens, double seconds)
    {
        _trainTokens += tokens;
        _trainSeconds += seconds;
    }

    public JsonObject ToJson()
    {
        JsonObject seconds = [];
        foreach ((string phase, double value) in _seconds) seconds[phase] = value;
        return new JsonObject { ["seconds"] = seconds, ["train_seconds"] = _trainSeconds, ["train_tokens"] = _trainTokens };
    }

    public sealed class Running(PhaseClock clock, string phase) : IDisposable
    {
        private readonly Stopwatch _watch = Stopwatch.StartNew();

        public void Dispose() => clock._seconds[phase] = clock._seconds.GetValueOrDefault(phase) + _watch.Elapsed.TotalSeconds;
    }
}
