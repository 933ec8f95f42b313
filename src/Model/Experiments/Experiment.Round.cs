namespace QSharp.Model;

/// <summary>One round of Algorithm 1.</summary>
/// <param name="Data">Folder of the data set, to which the round adds its roll-outs.</param>
/// <param name="Total">Roll-outs that the set then holds.</param>
/// <param name="Guide">Folder of the guide that is learned from all of them.</param>
/// <param name="Name">Of the phase.</param>
public sealed record RoundPlan(string Data, CollectSettings Collect, long Total, string Guide, string Name, bool KeepNoVariation);

public sealed partial class Experiment
{
    /// <summary>Collects a round's roll-outs and learns a guide from all so far; or takes the one that is there.</summary>
    /// <param name="last">The guide of the round before, which rolls in; null in the first.</param>
    public LearnedGuide Round(RoundPlan plan, LanguageModel reference, IGuide? last, MetricsLog metrics, PhaseClock clock)
    {
        if (FindGuide(plan.Guide, reference) is { } finished) return new LearnedGuide(finished, null);
        Collect(plan.Data, reference, last, plan.Collect, plan.Total, clock);
        RolloutData rollouts = LoadRollouts(plan.Data, reference, plan.KeepNoVariation);
        return Learn(plan.Guide, plan.Guide + "-run", plan.Name, rollouts, reference, Catalog.QSharp, metrics, clock);
    }
}
