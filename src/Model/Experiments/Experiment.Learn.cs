using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>A finished guide and how well it foretells the held-out problems.</summary>
/// <param name="Report">Null where no problems were held out, or the guide was there already.</param>
public sealed record LearnedGuide(IGuide Guide, HeldOutReport? Report);

public sealed partial class Experiment
{
    /// <summary>The finished guide of a folder, or null where there is none yet.</summary>
    public IGuide? FindGuide(string folder, LanguageModel reference) =>
        ModelFolder.Exists(folder) ? GuideFolder.Load(reference, folder, Task.Fingerprint, Task.Vocabulary).Guide : null;

    /// <summary>Trains a guide on roll-outs: a value model from the reference's weights, or a head on its hidden states.</summary>
    /// <param name="folder">Where the finished guide goes.</param>
    /// <param name="scratch">Where checkpoints of an unfinished phase lie.</param>
    /// <param name="name">Of the phase: each round has its own.</param>
    public LearnedGuide Learn(
        string folder, string scratch, string name, RolloutData data, LanguageModel reference, ValueMethod method, MetricsLog metrics, PhaseClock clock)
    {
        RequireLearnable(data, method, reference);
        // Rewards of held-out problems say nothing about soft values, so none are held out.
        if (method.IsSoftBellman) data = data with { Train = [.. data.Train, .. data.HeldOut], HeldOut = [] };
        using PhaseClock.Running running = clock.Start("train");
        Method loss = method.Create(recipe);
        ValueSettings outputs = recipe.Learned(method);
        if (outputs.Target == ValueTarget.Exponential) data = data.With(rollout => ReturnLoss.Exponentiate(rollout, outputs.Family, outputs.Eta!.Value));
        int steps = Steps(data);
        LearningRate rate = new(recipe.Rate, Math.Min(recipe.Warmup, steps / 10), steps, recipe.FinalRateShare);
        OptimizerSettings settings = AdamW with { Rate = rate, WeightDecay = recipe.WeightDecay, RoundsStochastically = RoundsStochastically };
        string? initial = null;
        IGuide guide = recipe.SharesTrunk
            ? new SharedTrunkGuide(reference, outputs.Family, recipe.HeadHidden, data.HiddenLayer) { Settings = outputs }
            : FreshValueModel(reference, outputs, out initial);
        Learner learner = guide is SharedTrunkGuide shared ? Learner(shared, loss, data, settings) : Learner((ValueModel)guide, reference, method, loss, data, settings);
        using Trainer trainer = new(learner) { HeldOut = learner.HeldOutBatches > 0 ? new HeldOut(learner, recipe.Settings.Family) : null };
        new TrainingRun(trainer, name, scratch, Fingerprint($"{name} {method.Name} {initial}"), metrics).Run(steps, progress, stop);
        (learner as SharedHeadLearner)?.Finish();
        HeldOutReport? report = trainer.HeldOut?.Report();
        GuideFolder.Save(guide, folder, new GuideOrigin(Task.Fingerprint, ModelFolder.Fingerprint(reference), data.Temperature, data.TopP)
        {
            Initial = initial,
        });
        TrainerCheckpoint.Delete(scratch);
        clock.AddTokens(trainer.TokensTrained, trainer.SecondsTrained);
        return new LearnedGuide(guide, report);
    }

    /// <summary>A value model with the trunk of the reference, or of the model that guides start from, or its first layers.</summary>
    /// <param name="initial">Fingerprint of the latter.</param>
    private ValueModel FreshValueModel(LanguageModel reference, ValueSettings outputs, out string? initial)
    {
        using LanguageModel? smaller = Initial?.Load(ops);
        initial = smaller is null ? null : ModelFolder.Fingerprint(smaller);
        LanguageModel from = smaller ?? reference;
        ValueModel guide = new(ops, recipe.Layers > 0 ? from.Config with { Layers = recipe.Layers } : from.Config, outputs);
        try
        {
            Initializer.CopyShared(ops, from.Weights, guide.Weights, "head", "head_bias");
            Initializer.Head(guide, from, recipe.HeadInit, Philox.Key(seed, InitStream));
            return guide;
        }
        catch
        {
            guide.Dispose();
            throw;
        }
    }

    private ModelLearner Learner(ValueModel guide, LanguageModel reference, ValueMethod method, Method loss, RolloutData data, OptimizerSettings settings)
    {
        if (method.IsSoftBellman)
        {
            RolloutSource all = new(data.Train, recipe.Settings, Philox.Key(seed, OrderStream));
            GuidanceRule rule = (recipe.With(guide) with { Temperature = data.Temperature, TopP = data.TopP }).Rule(method, recipe.Eta);
            return new SoftBellmanLearner(reference, guide, loss, rule, recipe.Candidates, Task.Vocabulary, all, settings, recipe.Batch);
        }
        BatchSize size = new(recipe.Batch, recipe.BatchTokens);
        RolloutSource source = Source(data);
        RolloutRows? heldOut = data.HeldOut.Count > 0 ? new RolloutRows(data.HeldOut, recipe.Settings, recipe.LossTokens) : null;
        if (method.LearnsNextValue)
            return new NextValueLearner(reference, new NextTokenLaw(data.Temperature, data.TopP, Task.Vocabulary, recipe.Candidates), guide, loss, source, settings, size, heldOut);
        if (method.ReturnLambda < 1) return new LambdaReturnLearner(method.ReturnLambda, recipe.Settings.Family, guide, loss, source, settings, size, heldOut);
        return recipe.Loss.Kind == ReturnLossKind.Regularised
            ? new LaggedLearner(recipe.Loss, guide, source, settings, size, heldOut)
            : new ModelLearner(guide, loss, source, settings, size, heldOut);
    }

    private RolloutSource Source(RolloutData data) =>
        new(data.Train, recipe.Settings, Philox.Key(seed, OrderStream), recipe.LossTokens, new BatchSize(recipe.Batch, recipe.BatchTokens));

    /// <summary>Refuses what the data or the method cannot give.</summary>
    /// <exception cref="UserException">One sentence that says what.</exception>
    public void RequireLearnable(RolloutData data, ValueMethod method, LanguageModel reference)
    {
        if (data.Train.Count == 0) throw new UserException("The data set holds no roll-outs to learn from; collect some first.");
        if (method.Bootstraps && recipe.SharesTrunk)
            throw new UserException($"--method {method.Name} reads its own values of whole responses; give it a trunk of its own (--trunk own).");
        if (method.IsSoftBellman && (recipe.Settings.Kind != HeadKind.Q || !double.IsFinite(recipe.Eta) || recipe.Candidates == GuideRecipe.AllCandidates))
            throw new UserException($"--method {method.Name} sums over the tokens that may come next, at one η; give --head q, a finite --eta and a number of --candidates.");
        if (method.IsSoftBellman && (Initial is not null || recipe.Layers > 0 || recipe.BatchTokens > 0))
            throw new UserException($"--method {method.Name} reads the reference and the guide in one shape; leave --init, --init-layers and --batch-tokens out.");
        if ((Initial?.Layers ?? reference.Config.Layers) is var layers && recipe.Layers > layers)
            throw new UserException($"--init-layers {recipe.Layers}: the model that the guide starts from has {layers}; give at most that many, or leave it out for all.");
        if (method.Name != "qsharp" && recipe.Loss.Kind != ReturnLossKind.CrossEntropy)
            throw new UserException($"--loss is a choice of method qsharp; {method.Name} has a loss of its own, so leave it out.");
        if (method.Bootstraps && recipe.LossTokens != LossTokens.All)
            throw new UserException($"--method {method.Name} reads its own values of whole responses; leave --prefix and --loss-on-prompt-end out.");
        if (recipe.LossTokens.LastKeptOnly && data.Train.Concat(data.HeldOut).Any(rollout => rollout.Kept == 0))
            throw new UserException("--prefix single learns from the last token kept of each roll-in, but the data set has responses without one; collect with --roll-in policy.");
        int longest = data.Train.Concat(data.HeldOut).Max(recipe.LossTokens.End);
        if (recipe.BatchTokens > 0 && longest > recipe.BatchTokens)
            throw new UserException($"--batch-tokens {recipe.BatchTokens}: the longest roll-out has {longest} tokens; give at least that many.");
        if (recipe.LossTokens.PromptEnd && data.IsSwitched)
            throw new UserException("--loss-on-prompt-end learns from responses that are all the reference's own, and --switch-action put another token into each of the data set's; leave it out, or collect with --switch-action policy.");
        if (recipe.LossTokens.PromptEnd && data.Train.All(rollout => rollout.Round > 1))
            throw new UserException("--loss-on-prompt-end learns from roll-outs of the first round, and the data set has none; leave it out, or add that round.");
        _ = Steps(data);
    }

    private SharedHeadLearner Learner(SharedTrunkGuide guide, Method method, RolloutData data, OptimizerSettings settings)
    {
        if (data.Hidden is null) throw new UserException("A shared trunk learns from π_ref's hidden states, but the data set has none; collect with --hidden.");
        ulong key = Philox.Key(seed, OrderStream);
        return new SharedHeadLearner(
            guide, method, new HiddenReader(data.Hidden, guide.Shape.Width), new HiddenSource(data.Train, data.FirstStates, key, recipe.LossTokens),
            new HiddenSource(data.HeldOut, data.FirstStates, key, recipe.LossTokens), settings, Philox.Key(seed, InitStream), recipe.Batch);
    }

    /// <exception cref="UserException">They are too many to count.</exception>
    private int Steps(RolloutData data)
    {
        if (recipe.Steps > 0) return recipe.Steps;
        long items = recipe.SharesTrunk ? data.Train.Sum(rollout => (long)recipe.LossTokens.Count(rollout)) : data.Train.Count;
        long steps = recipe.BatchTokens > 0 ? Source(data).Steps(recipe.Epochs) : Math.Max(1, recipe.Epochs * items / recipe.Batch);
        return steps <= int.MaxValue ? (int)steps
            : throw new UserException($"--epochs {recipe.Epochs}: that makes {steps} steps of {recipe.Batch}, and at most {int.MaxValue} are taken; give fewer.");
    }
}
