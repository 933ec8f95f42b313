using QSharp.Engine;

namespace QSharp.Model;

public sealed partial class Experiment
{
    /// <summary>The responses of a data set that are all π_ref's: those of rounds whose roll-in was π_ref.</summary>
    /// <exception cref="UserException">The set is damaged, of another task, vocabulary or reference, or has no such responses.</exception>
    public List<Rollout> LoadReferenceSamples(string data, LanguageModel reference)
    {
        RolloutSet.Load(data).Require(data, Task, ModelFolder.Fingerprint(reference));
        List<Rollout> rollouts = RolloutFile.Read(RolloutSet.DataPath(data));
        RequireTokens(data, rollouts);
        rollouts.RemoveAll(rollout => rollout.Lambda != 0);
        return rollouts.Count > 0 ? rollouts
            : throw new UserException($"{data}: no response here is the reference's own, so there is nothing to tell from; collect a first round.");
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
