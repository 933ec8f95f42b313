using System.CommandLine;
using System.Text.Json.Nodes;

using QSharp.Kernels;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>Options that say which star-graph task and recipe is meant; the same for every verb that works on one.</summary>
internal sealed class StarGraphOptions
{
    private readonly Option<(int Arms, int PathLength)> _graph = OptionFactory.Graph((2, 4));
    private readonly Option<int> _labels = OptionFactory.Integer("--labels", "Node labels; 0 takes the recipe's.", 0, 0);
    private readonly Option<float> _mixed = OptionFactory.Share("--mixed-goals", "Share of training prompts whose goal is any node of the right arm.", 0.75f);
    private readonly Option<int> _referenceSteps = OptionFactory.Integer("--reference-steps", "Pre-training steps; 0 takes the recipe's.", 0, 0);
    private readonly Option<int> _guideSteps = OptionFactory.Integer("--guide-steps", "Steps of learning the guide; 0 takes the recipe's.", 0, 0);
    private readonly Option<string> _prompt = OptionFactory.Choice("--guide-prompt", "How the guide reads prompts; auto takes the recipe's.", "auto", "auto", "causal", "bidirectional");
    private readonly Option<string> _head = OptionFactory.Choice("--head", "Where the guide reads a token's value: at the token (v) or before it (q).", "v", "v", "q");
    private readonly Option<string> _family = OptionFactory.Choice("--family", "Family of return distributions.", "bernoulli", "bernoulli", "categorical");
    private readonly Option<int> _atoms = OptionFactory.Integer("--atoms", "Atoms of the categorical family, from 0 to 1.", 11, 2);

    public StarGraphOptions(Command verb)
    {
        foreach (Option option in (Option[])[_graph, _labels, _mixed, _referenceSteps, _guideSteps, _prompt, _head, _family, _atoms]) verb.Options.Add(option);
    }

    public StarGraphRecipe Recipe(ParseResult parsed)
    {
        (int arms, int length) = parsed.GetValue(_graph);
        StarGraphRecipe recipe = StarGraphRecipe.For(arms, length, parsed.GetValue(_labels));
        string prompt = parsed.GetValue(_prompt)!;
        bool bernoulli = parsed.GetValue(_family) == "bernoulli";
        int referenceSteps = parsed.GetValue(_referenceSteps), guideSteps = parsed.GetValue(_guideSteps);
        return recipe with
        {
            Graph = recipe.Graph with { MixedGoals = parsed.GetValue(_mixed) },
            ReferenceSteps = referenceSteps == 0 ? recipe.ReferenceSteps : referenceSteps,
            GuideSteps = guideSteps == 0 ? recipe.GuideSteps : guideSteps,
            Guide = new ValueSettings(
                parsed.GetValue(_head) == "v" ? HeadKind.V : HeadKind.Q,
                bernoulli ? ReturnFamily.Bernoulli : ReturnFamily.Categorical(0, 1, parsed.GetValue(_atoms)),
                prompt == "auto" ? recipe.Guide.BidirectionalPrompt : prompt == "bidirectional"),
        };
    }

    /// <summary>Everything of a recipe that shapes a run, for config.json.</summary>
    public static JsonObject Settings(StarGraphRecipe recipe) => new()
    {
        ["graph"] = new JsonArray(recipe.Graph.Arms, recipe.Graph.PathLength),
        ["labels"] = recipe.Graph.Labels,
        ["mixed_goals"] = recipe.Graph.MixedGoals,
        ["layers"] = recipe.Model.Layers,
        ["width"] = recipe.Model.Width,
        ["heads"] = recipe.Model.Heads,
        ["batch"] = recipe.Batch,
        ["reference_steps"] = recipe.ReferenceSteps,
        ["reference_rate"] = recipe.ReferenceRate,
        ["guide_steps"] = recipe.GuideSteps,
        ["guide_rate"] = recipe.GuideRate,
        ["guide_prompt"] = recipe.Guide.BidirectionalPrompt ? "bidirectional" : "causal",
        ["head"] = recipe.Guide.Kind == HeadKind.V ? "v" : "q",
        ["family"] = recipe.Guide.Family.Kind == FamilyKind.Bernoulli ? "bernoulli" : "categorical",
        ["atoms"] = recipe.Guide.Family.Atoms,
    };

    /// <summary>The recipe in two lines, for standard error.</summary>
    public static string Describe(StarGraphRecipe recipe) => FormattableString.Invariant(
        $"""
        G({recipe.Graph.Arms},{recipe.Graph.PathLength}), {recipe.Graph.Labels} labels: {recipe.Model.Layers} layers, width {recipe.Model.Width}, {recipe.Model.Heads} heads; reference {recipe.ReferenceSteps} steps, guide {recipe.GuideSteps} steps of {recipe.Batch}, {(recipe.Guide.BidirectionalPrompt ? "bidirectional" : "causal")} prompt.
        By the rule: {StarGraphRecipe.Rule}.
        """);
}
