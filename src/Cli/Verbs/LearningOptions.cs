using System.CommandLine;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>What a guide starts from and which tokens it learns from, for the verbs that learn one.</summary>
internal sealed class LearningOptions
{
    private readonly Option<string?> _initial = OptionFactory.OptionalText(
        "--init", "A language model with the reference's tokenizer whose weights the guide starts from, smaller ones included: a folder, a GGUF file, or org/name; without it, the reference's.");
    private readonly Option<int> _layers = OptionFactory.Integer(
        "--init-layers", "Start from the first layers of that model alone, so many of them, which makes a small guide where there is no small model; 0: all.", 0, 0);
    private readonly Option<string> _headInit = OptionFactory.Choice(
        "--head-init", "Where the guide's head starts from. zero: no tilt; random: small normal values; reuse: with --head q, each token's row of the language model's head; auto: zero, or with --init what the paper's code does, random for --head v and reuse for q.",
        "auto", "auto", "zero", "random", "reuse");
    private readonly Option<string> _prefix = OptionFactory.Choice(
        "--prefix", "Tokens that bear loss. all: the last kept token of the roll-in and all that follow; single: that token alone, an ablation of the paper.", "all", "all", "single");
    private readonly Option<bool> _promptEnd = OptionFactory.Flag(
        "--loss-on-prompt-end", "Learn the value of the whole prompt too, at its last token, from roll-outs of the first round; for --head v. Decoding then has it for the tail of --outside martingale at the first token, and for --kl-budget and its like.");
    private readonly Option<int> _batchTokens = OptionFactory.Integer(
        "--batch-tokens", "Most tokens of a step, padding included: it takes roll-outs, --batch at most, while the longest times their number stays within it; 0: no limit.", 0, 0, TrainBatch.MostTokens);
    private readonly Option<float?> _heldOut = OptionFactory.OptionalShare(
        "--held-out", "Share of the problems that are not learned from but tell which weights to keep, with a report and a picture [default: 0.1 for texts, 0 for graphs].");
    private readonly LossOptions _loss;

    /// <param name="eta">The one η that the command line speaks of, or null.</param>
    public LearningOptions(Command verb, Func<ParseResult, double?> eta)
    {
        foreach (Option option in All) verb.Options.Add(option);
        _loss = new LossOptions(verb, eta);
    }

    private Option[] All => [_initial, _layers, _headInit, _prefix, _promptEnd, _batchTokens, _heldOut];

    /// <param name="recipe">With the kind of guide.</param>
    public GuideRecipe Apply(GuideRecipe recipe, ParseResult parsed)
    {
        HeadInit init = HeadInitOf(recipe, parsed);
        LossTokens tokens = new(parsed.GetValue(_prefix) == "single", parsed.GetValue(_promptEnd));
        if (tokens.PromptEnd && recipe.Settings.Kind == HeadKind.Q)
            throw new UserException("--loss-on-prompt-end: a head that reads before a token has the values of the tokens that may follow a prompt, whose mean is the prompt's; only --head v has one of its own, so leave it out.");
        if (recipe.SharesTrunk && parsed.GetValue(_batchTokens) > 0)
            throw new UserException("--batch-tokens: with --trunk shared --batch is a number of tokens already; leave --batch-tokens out.");
        if (recipe.SharesTrunk && parsed.IsGiven(_layers))
            throw new UserException("--init-layers: a guide with --trunk shared has no layers of its own; leave it out, or collect with --hidden-layer to read another layer of the reference.");
        recipe = _loss.Apply(recipe, parsed);
        return recipe with
        {
            HeadInit = init,
            Layers = parsed.GetValue(_layers),
            Settings = recipe.Settings with { HasBias = init == HeadInit.Zero },
            LossTokens = tokens,
            BatchTokens = parsed.GetValue(_batchTokens),
            HeldOut = parsed.GetValue(_heldOut) ?? recipe.HeldOut,
        };
    }

    /// <summary>The model that guides start from; null: the reference.</summary>
    /// <param name="reference">The reference's files, where it has any.</param>
    public InitialModel? Initial(ParseResult parsed, ITask task, ModelFiles? reference) =>
        parsed.GetValue(_initial) is { } path ? InitialModel.Open(path, task, reference) : null;

    /// <summary>Refuses what a method has no use for.</summary>
    public void RequireUse(ParseResult parsed, ValueMethod method)
    {
        if (method.IsSoftBellman && parsed.IsGiven(_heldOut))
            throw new UserException($"--held-out: --method {method.Name} learns soft values, of which the rewards of held-out problems say nothing, and so from all problems; leave it out.");
    }

    /// <summary>Refuses them where no guide is learned.</summary>
    public void RequireNone(ParseResult parsed, string method)
    {
        if (parsed.FirstGiven(All.Concat(_loss.All)) is { } given)
            throw new UserException($"{given.Name} is about guides, and --method {method} trains a policy; leave it out.");
    }

    /// <summary>What shapes a guide's training, for config.json.</summary>
    public void AddTo(JsonObject settings, ParseResult parsed, GuideRecipe recipe)
    {
        settings["init"] = parsed.GetValue(_initial);
        settings["init_layers"] = recipe.Layers;
        settings["head_init"] = recipe.HeadInit.ToString().ToLowerInvariant();
        settings["prefix"] = parsed.GetValue(_prefix);
        settings["loss_on_prompt_end"] = recipe.LossTokens.PromptEnd;
        settings["batch_tokens"] = recipe.BatchTokens;
        settings["held_out"] = recipe.HeldOut;
        LossOptions.AddTo(settings, recipe);
    }

    private HeadInit HeadInitOf(GuideRecipe recipe, ParseResult parsed)
    {
        bool startsElsewhere = parsed.GetValue(_initial) is not null;
        string head = parsed.GetValue(_headInit)!;
        if (recipe.SharesTrunk && startsElsewhere)
            throw new UserException("--init: a guide with --trunk shared has no weights of a language model to start from; leave one of the two out.");
        if (recipe.SharesTrunk && head != "auto")
            throw new UserException($"--head-init {head}: the head of a guide with --trunk shared starts at the data's mean return; leave --head-init out.");
        if (head == "reuse" && recipe.Settings.Kind == HeadKind.V)
            throw new UserException("--head-init reuse: it copies one row a token, and --head v has a single one; give --head q, or another --head-init.");
        return head switch
        {
            "random" => HeadInit.Random,
            "reuse" => HeadInit.Reuse,
            "auto" when startsElsewhere => recipe.Settings.Kind == HeadKind.V ? HeadInit.Random : HeadInit.Reuse,
            _ => HeadInit.Zero,
        };
    }
}
