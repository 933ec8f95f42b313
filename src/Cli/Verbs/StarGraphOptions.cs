using System.CommandLine;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>Options that say which star-graph task and recipe is meant; the same for every verb that works on one.</summary>
internal sealed class StarGraphOptions
{
    private readonly Option<CommaList<int>> _graph = OptionFactory.Graph(2, 4);
    private readonly Option<int> _labels = OptionFactory.Integer("--labels", "Node labels; 0 takes the recipe's.", 0, 0, 1 << 16);
    private readonly Option<float> _mixed = OptionFactory.Share("--mixed-goals", "Share of training prompts whose goal is any node of the right arm.", 0.75f);
    private readonly Option<int>? _referenceSteps;

    /// <param name="pretrains">Whether the verb pre-trains a reference.</param>
    public StarGraphOptions(Command verb, bool pretrains = true)
    {
        foreach (Option option in Task) verb.Options.Add(option);
        if (!pretrains) return;
        _referenceSteps = OptionFactory.Integer("--reference-steps", "Pre-training steps; 0 takes the recipe's.", 0, 0);
        verb.Options.Add(_referenceSteps);
    }

    private Option[] Task => [_graph, _labels, _mixed];

    /// <summary>Refuses them with another task.</summary>
    /// <exception cref="UserException">The user has given one of them.</exception>
    public void RequireNone(ParseResult parsed, string task)
    {
        if (parsed.FirstGiven(Task) is { } given)
            throw new UserException($"{given.Name} does nothing with --task {task}; leave it out, or take --task {Catalog.StarGraph}.");
    }

    public StarGraphRecipe Recipe(ParseResult parsed)
    {
        int[] sizes = parsed.GetValue(_graph).Values;
        StarGraphRecipe recipe = StarGraphRecipe.For(sizes[0], sizes[1], parsed.GetValue(_labels));
        int referenceSteps = _referenceSteps is null ? 0 : parsed.GetValue(_referenceSteps);
        return recipe with
        {
            Graph = recipe.Graph with { MixedGoals = parsed.GetValue(_mixed) },
            Reference = recipe.Reference with { Steps = referenceSteps == 0 ? recipe.Reference.Steps : referenceSteps },
        };
    }

    /// <summary>Everything of a recipe that shapes the reference, for config.json.</summary>
    public static JsonObject Settings(StarGraphRecipe recipe) => new()
    {
        ["graph"] = new JsonArray(recipe.Graph.Arms, recipe.Graph.PathLength),
        ["labels"] = recipe.Graph.Labels,
        ["mixed_goals"] = recipe.Graph.MixedGoals,
        ["layers"] = recipe.Reference.Model.Layers,
        ["width"] = recipe.Reference.Model.Width,
        ["heads"] = recipe.Reference.Model.Heads,
        ["reference_batch"] = recipe.Reference.Batch,
        ["reference_steps"] = recipe.Reference.Steps,
        ["reference_rate"] = recipe.Reference.Rate,
    };

    /// <summary>The recipe in two lines, for standard error.</summary>
    public static string Describe(StarGraphRecipe recipe) => FormattableString.Invariant(
        $"""
        G({recipe.Graph.Arms},{recipe.Graph.PathLength}), {recipe.Graph.Labels} labels: {recipe.Reference.Model.Layers} layers, width {recipe.Reference.Model.Width}, {recipe.Reference.Model.Heads} heads; reference {recipe.Reference.Steps} steps, guide {recipe.Guide.Steps} steps of {recipe.Guide.Batch}, {(recipe.Guide.Settings.BidirectionalPrompt ? "bidirectional" : "causal")} prompt.
        By the rule: {StarGraphRecipe.Rule}.
        """);
}
