using System.Text.Json.Nodes;

namespace QSharp.Model;

/// <summary>How often each prompt of a data set was answered rightly, before any is dropped (method notes §2.4).</summary>
/// <param name="Prompts">In the order of their numbers: samples, and the sum of their rewards.</param>
/// <param name="WithoutVariation">Prompts whose samples all have the same reward.</param>
public sealed record SuccessCounts(IReadOnlyList<(long Problem, int Samples, double Rewards)> Prompts, int WithoutVariation)
{
    public static SuccessCounts Of(IEnumerable<Rollout> rollouts)
    {
        IGrouping<long, Rollout>[] groups = [.. rollouts.GroupBy(rollout => rollout.Problem).OrderBy(group => group.Key)];
        return new SuccessCounts(
            [.. groups.Select(group => (group.Key, group.Count(), group.Sum(rollout => (double)rollout.Reward)))],
            groups.Count(group => group.All(rollout => rollout.Reward == group.First().Reward)));
    }

    /// <summary>Share of the prompts that say nothing about a choice.</summary>
    public double FractionDropped => Prompts.Count == 0 ? 0 : (double)WithoutVariation / Prompts.Count;

    public JsonObject Summary() => new()
    {
        ["prompts"] = Prompts.Count,
        ["without_variation"] = WithoutVariation,
        ["fraction_without_variation"] = FractionDropped,
        ["never"] = Prompts.Count(each => each.Rewards == 0),
        ["always"] = Prompts.Count(each => each.Rewards == each.Samples),
    };

    public JsonObject ToJson()
    {
        JsonObject json = Summary();
        json["counts"] = new JsonArray([.. Prompts.Select(each => (JsonNode)new JsonArray(each.Problem, each.Samples, each.Rewards))]);
        return json;
    }
}
