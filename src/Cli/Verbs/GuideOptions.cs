using System.CommandLine;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>What kind of guide is learned and how long; every default is the task's own recipe.</summary>
internal sealed class GuideOptions
{
    private readonly Option<int> _steps = OptionFactory.Integer("--guide-steps", "Steps of learning the guide; 0 takes the recipe's.", 0, 0);
    private readonly Option<float> _rate = OptionFactory.NotNegative("--learning-rate", "Largest learning rate of the guide; 0 takes the recipe's.", 0);
    private readonly Option<int> _batch = OptionFactory.Integer("--batch", "Roll-outs of a step; 0 takes the recipe's.", 0, 0, OptionFactory.MostRows);
    private readonly Option<string> _prompt = OptionFactory.Choice("--guide-prompt", "How the guide reads prompts; auto takes the recipe's.", "auto", "auto", "causal", "bidirectional");
    private readonly Option<string> _trunk = OptionFactory.Choice(
        "--trunk", "own: the guide is a value model, from the reference's weights; shared: a head on the reference's own hidden states, of --head q.", "own", "own", "shared");
    private readonly Option<int> _headHidden = OptionFactory.Integer("--head-hidden", "Width of a shared trunk's head.", SharedHeadShape.UsualHidden, 1, 1 << 16);
    private readonly Option<int> _epochs = OptionFactory.Integer("--epochs", "Times through the roll-outs, where --guide-steps is 0; 0 takes the recipe's.", 0, 0, OptionFactory.MostEpochs);
    private readonly Option<string> _head = OptionFactory.Choice("--head", "Where the guide reads a token's value: at the token (v) or before it (q).", "v", "v", "q");
    private readonly Option<string> _family = OptionFactory.Choice("--family", "Family of return distributions.", "bernoulli", "bernoulli", "categorical");
    private readonly Option<int> _atoms = OptionFactory.Integer("--atoms", "Atoms of the categorical family, from 0 to 1.", 11, 2, 1 << 12);

    public GuideOptions(Command verb)
    {
        foreach (Option option in (Option[])[_steps, _rate, _batch, _epochs, _prompt, _trunk, _headHidden, _head, _family, _atoms]) verb.Options.Add(option);
    }

    public GuideRecipe Apply(GuideRecipe recipe, ParseResult parsed)
    {
        string prompt = parsed.GetValue(_prompt)!;
        int steps = parsed.GetValue(_steps), batch = parsed.GetValue(_batch);
        float rate = parsed.GetValue(_rate);
        bool isShared = parsed.GetValue(_trunk) == "shared", readsBefore = isShared || parsed.GetValue(_head) == "q";
        if (isShared && parsed.IsGiven(_head) && parsed.GetValue(_head) == "v")
            throw new UserException("--trunk shared reads the state before a token; leave --head out, or give q.");
        if (isShared && prompt == "bidirectional")
            throw new UserException("--trunk shared reads prompts as the reference does; leave --guide-prompt out.");
        if (!isShared && parsed.IsGiven(_headHidden))
            throw new UserException("--head-hidden is the width of the head of --trunk shared alone; leave it out.");
        if (parsed.GetValue(_family) == "bernoulli" && parsed.IsGiven(_atoms))
            throw new UserException("--atoms is a setting of --family categorical alone; leave it out, or add that.");
        if (isShared) recipe = GuideRecipe.SharedTrunk with { Candidates = recipe.Candidates, Outside = recipe.Outside, HeadHidden = parsed.GetValue(_headHidden) };
        if (parsed.GetValue(_epochs) > 0 && (steps > 0 || recipe.Steps > 0))
            throw new UserException($"--epochs counts only where no number of steps is fixed, and {(steps > 0 ? "--guide-steps" : "this task's recipe")} fixes one; leave it out{(steps > 0 ? ", or the other" : ", or give --guide-steps")}.");
        return recipe with
        {
            Steps = steps == 0 ? recipe.Steps : steps,
            Rate = rate == 0 ? recipe.Rate : rate,
            Batch = batch == 0 ? recipe.Batch : batch,
            Epochs = parsed.GetValue(_epochs) is var epochs && epochs == 0 ? recipe.Epochs : epochs,
            Settings = new ValueSettings(
                readsBefore ? HeadKind.Q : HeadKind.V,
                parsed.GetValue(_family) == "bernoulli" ? ReturnFamily.Bernoulli : ReturnFamily.Categorical(0, 1, parsed.GetValue(_atoms)),
                prompt == "auto" ? recipe.Settings.BidirectionalPrompt : prompt == "bidirectional"),
        };
    }

    /// <summary>Refuses them where no guide is learned; a policy without steps of its own takes the guide's.</summary>
    public void RequireNone(ParseResult parsed, string method)
    {
        if (parsed.FirstGiven(_rate, _batch, _epochs, _prompt, _trunk, _headHidden, _head, _family, _atoms) is { } given)
            throw new UserException($"{given.Name} is about guides, and --method {method} trains a policy; leave it out.");
    }

    /// <summary>Everything of a recipe that shapes the training of a guide, for config.json.</summary>
    public static JsonObject Describe(GuideRecipe recipe) => new()
    {
        ["batch"] = recipe.Batch,
        ["epochs"] = recipe.Epochs,
        ["trunk"] = recipe.SharesTrunk ? "shared" : "own",
        ["head_hidden"] = recipe.HeadHidden,
        ["guide_steps"] = recipe.Steps,
        ["guide_rate"] = recipe.Rate,
        ["guide_prompt"] = recipe.Settings.BidirectionalPrompt ? "bidirectional" : "causal",
        ["head"] = recipe.Settings.Kind == HeadKind.V ? "v" : "q",
        ["family"] = recipe.Settings.Family.Kind == FamilyKind.Bernoulli ? "bernoulli" : "categorical",
        ["atoms"] = recipe.Settings.Family.Atoms,
    };
}
