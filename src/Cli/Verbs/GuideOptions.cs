using System.CommandLine;
using System.Text.Json.Nodes;

using QSharp.Kernels;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>What kind of guide is learned and how long; every default is the task's own recipe.</summary>
internal sealed class GuideOptions
{
    private readonly Option<int> _steps = OptionFactory.Integer("--guide-steps", "Steps of learning the guide; 0 takes the recipe's.", 0, 0);
    private readonly Option<float> _rate = OptionFactory.NotNegative("--learning-rate", "Largest learning rate of the guide; 0 takes the recipe's.", 0);
    private readonly Option<int> _batch = OptionFactory.Integer("--batch", "Roll-outs of a step; 0 takes the recipe's.", 0, 0);
    private readonly Option<string> _prompt = OptionFactory.Choice("--guide-prompt", "How the guide reads prompts; auto takes the recipe's.", "auto", "auto", "causal", "bidirectional");
    private readonly Option<string> _head = OptionFactory.Choice("--head", "Where the guide reads a token's value: at the token (v) or before it (q).", "v", "v", "q");
    private readonly Option<string> _family = OptionFactory.Choice("--family", "Family of return distributions.", "bernoulli", "bernoulli", "categorical");
    private readonly Option<int> _atoms = OptionFactory.Integer("--atoms", "Atoms of the categorical family, from 0 to 1.", 11, 2);

    public GuideOptions(Command verb)
    {
        foreach (Option option in (Option[])[_steps, _rate, _batch, _prompt, _head, _family, _atoms]) verb.Options.Add(option);
    }

    public GuideRecipe Apply(GuideRecipe recipe, ParseResult parsed)
    {
        string prompt = parsed.GetValue(_prompt)!;
        int steps = parsed.GetValue(_steps), batch = parsed.GetValue(_batch);
        float rate = parsed.GetValue(_rate);
        return recipe with
        {
            Steps = steps == 0 ? recipe.Steps : steps,
            Rate = rate == 0 ? recipe.Rate : rate,
            Batch = batch == 0 ? recipe.Batch : batch,
            Settings = new ValueSettings(
                parsed.GetValue(_head) == "v" ? HeadKind.V : HeadKind.Q,
                parsed.GetValue(_family) == "bernoulli" ? ReturnFamily.Bernoulli : ReturnFamily.Categorical(0, 1, parsed.GetValue(_atoms)),
                prompt == "auto" ? recipe.Settings.BidirectionalPrompt : prompt == "bidirectional"),
        };
    }

    /// <summary>Everything of a recipe that shapes the training of a guide, for config.json.</summary>
    public static JsonObject Describe(GuideRecipe recipe) => new()
    {
        ["batch"] = recipe.Batch,
        ["guide_steps"] = recipe.Steps,
        ["guide_rate"] = recipe.Rate,
        ["guide_prompt"] = recipe.Settings.BidirectionalPrompt ? "bidirectional" : "causal",
        ["head"] = recipe.Settings.Kind == HeadKind.V ? "v" : "q",
        ["family"] = recipe.Settings.Family.Kind == FamilyKind.Bernoulli ? "bernoulli" : "categorical",
        ["atoms"] = recipe.Settings.Family.Atoms,
    };
}
