using System.CommandLine;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>What a guide starts from, for the verbs that learn one.</summary>
internal sealed class LearningOptions
{
    private readonly Option<string?> _initial = OptionFactory.OptionalText(
        "--init", "A language model with the reference's tokenizer whose weights the guide starts from, smaller ones included: a folder, a GGUF file, or org/name; without it, the reference's.");
    private readonly Option<string> _headInit = OptionFactory.Choice(
        "--head-init", "Where the guide's head starts from. zero: no tilt; random: small normal values; reuse: with --head q, each token's row of the language model's head; auto: zero, or with --init what the paper's code does, random for --head v and reuse for q.",
        "auto", "auto", "zero", "random", "reuse");

    public LearningOptions(Command verb)
    {
        foreach (Option option in (Option[])[_initial, _headInit]) verb.Options.Add(option);
    }

    /// <param name="recipe">With the kind of guide.</param>
    public GuideRecipe Apply(GuideRecipe recipe, ParseResult parsed)
    {
        bool startsElsewhere = parsed.GetValue(_initial) is not null;
        string head = parsed.GetValue(_headInit)!;
        if (recipe.SharesTrunk && startsElsewhere)
            throw new UserException("--init: a guide with --trunk shared has no weights of a language model to start from; leave one of the two out.");
        if (recipe.SharesTrunk && head != "auto")
            throw new UserException($"--head-init {head}: the head of a guide with --trunk shared starts at the data's mean return; leave --head-init out.");
        if (head == "reuse" && recipe.Settings.Kind == HeadKind.V)
            throw new UserException("--head-init reuse: it copies one row a token, and --head v has a single one; give --head q, or another --head-init.");
        HeadInit init = head switch
        {
            "random" => HeadInit.Random,
            "reuse" => HeadInit.Reuse,
            "auto" when startsElsewhere => recipe.Settings.Kind == HeadKind.V ? HeadInit.Random : HeadInit.Reuse,
            _ => HeadInit.Zero,
        };
        return recipe with { HeadInit = init, Settings = recipe.Settings with { HasBias = init == HeadInit.Zero } };
    }

    /// <summary>The model that guides start from; null: the reference.</summary>
    /// <param name="reference">The reference's files, where it has any.</param>
    public InitialModel? Initial(ParseResult parsed, ITask task, ModelFiles? reference) =>
        parsed.GetValue(_initial) is { } path ? InitialModel.Open(path, task, reference) : null;

    /// <summary>What shapes a guide's training, for config.json.</summary>
    public void AddTo(JsonObject settings, ParseResult parsed, GuideRecipe recipe)
    {
        settings["init"] = parsed.GetValue(_initial);
        settings["head_init"] = recipe.HeadInit.ToString().ToLowerInvariant();
    }
}
