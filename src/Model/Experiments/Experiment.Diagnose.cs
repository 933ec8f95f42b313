using QSharp.Engine;

namespace QSharp.Model;

public sealed partial class Experiment
{
    /// <summary>The responses of a data set that are all π_ref's: those of rounds whose roll-in was π_ref.</summary>
    /// <param name="isPlain">Whether they have to be of π_ref itself, at temperature 1 without top-p.</param>
    /// <exception cref="UserException">The set is damaged, of another task, vocabulary or reference, or has no such responses.</exception>
    public List<Rollout> LoadReferenceSamples(string data, LanguageModel reference, bool isPlain = false)
    {
        (RolloutSet set, _, _, List<Rollout> rollouts) = ReadSet(data, reference);
        if (set.IsSwitched)
            throw new UserException($"{data}: no response here is the reference's own, for --switch-action put another token into each; collect with --switch-action policy.");
        if (isPlain && ((float?)set.Collection["temperature"] is not (null or 1) || (float?)set.Collection["top_p"] is not (null or 1)))
            throw new UserException($"{data}: --policy takes π_ref's probabilities as they are, but this set was drawn at another temperature or top-p; collect with --temperature 1 --top-p 1.");
        rollouts.RemoveAll(rollout => rollout.Lambda != 0);
        return rollouts.Count > 0 ? rollouts
            : throw new UserException($"{data}: no response here is the reference's own, so there is nothing to tell from; collect a first round.");
    }

    /// <summary>A policy's ratios of visits to those of π_ref: learned by DualDICE, beside what they are known to be.</summary>
    /// <param name="rollouts">As <see cref="LoadReferenceSamples"/> gives them.</param>
    /// <param name="steps">Of learning.</param>
    /// <param name="judged">Most roll-outs that are compared.</param>
    /// <exception cref="UserException">The policy is no fine-tuned π_ref.</exception>
    public RatioDiagnosis Ratios(LanguageModel policy, LanguageModel reference, IReadOnlyList<Rollout> rollouts, int steps, int judged)
    {
        if (policy.Config != reference.Config) throw new UserException("--policy: this model has another shape than the reference; give a policy that train made from it.");
        List<Rollout> whole = Whole(rollouts), some = whole[..Math.Min(judged, whole.Count)];
        OptimizerSettings settings = AdamW with { Rate = new LearningRate(recipe.Rate, Math.Min(recipe.Warmup, steps / 10), steps, FinalShare: 0) };
        RolloutSource source = new(whole, PolicyRows, Philox.Key(seed, OrderStream));
        NuLearner nu = new(policy, new NuModel(reference, Task.Vocabulary), DiceObjective.DualDice, source, settings, recipe.Batch, new RolloutRows(some, PolicyRows));
        using Trainer trainer = new(nu);
        if (!trainer.Run(steps, "dual-dice", progress, (_, _) => { }, stop)) stop.ThrowIfCancellationRequested();
        return RatioDiagnosis.Of(nu, policy, reference, some, recipe.Batch, progress, stop);
    }

    /// <summary>Z at prompts.</summary>
    public List<ReturnLaw> ReadLaws(LanguageModel reference, IGuide guide, IReadOnlyList<int[]> prompts)
    {
        using PromptLaws reader = new(
            reference, guide, Math.Min(rows, prompts.Count), prompts.Max(prompt => prompt.Length), recipe.Candidates, Task.Vocabulary);
        return reader.Read(prompts, recipe.Reference, stop);
    }

    /// <summary>The front that a guide foretells at prompts, strongest η last, and what drawing gives at some η.</summary>
    /// <param name="laws">Z at the problems' prompts.</param>
    /// <param name="etas">All η of the front.</param>
    /// <param name="measured">The η at which responses are drawn; may be none.</param>
    public List<FrontPoint> Front(
        LanguageModel reference, IGuide guide, Problem[] problems, IReadOnlyList<ReturnLaw> laws, IEnumerable<double> etas, IReadOnlyList<double> measured, int samples,
        Guidance guidance)
    {
        Evaluator evaluator = new(Task, problems, samples, rows, recipe.Candidates) { KeepsResiduals = true };
        List<Policy> policies = [.. measured.Distinct().Select(eta => new Policy("qsharp", eta, recipe.With(guide).Rule(Catalog.QSharp, eta)))];
        List<Evaluation> drawn = policies.Count == 0 ? []
            : evaluator.Run(policies, reference, guide, guidance, Philox.Key(seed, EvaluateStream), judges: false, progress, stop);
        return [.. etas.Concat(measured).Distinct().OrderDescending().Select(eta => FrontPoint.Of(eta, laws) with { Measured = drawn.Find(each => each.Eta == eta) })];
    }
}
