using System.CommandLine;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>How roll-outs are made and which are learned from.</summary>
internal sealed class CollectOptions
{
    // Of a text task, whose recipe fixes no number of steps.
    private const int TextRollouts = 2048;

    private readonly Option<int> _samples = OptionFactory.Integer("--samples", "Roll-outs of each training prompt.", 1, 1, OptionFactory.MostSamples);
    private readonly Option<int> _rollouts = OptionFactory.Integer(
        "--rollouts", "Roll-outs a round; 0 takes one for every place in the guide's batches, or 2,048 where the number of steps follows from the roll-outs.", 0, 0);
    private readonly Option<string> _rollIn = OptionFactory.Choice(
        "--roll-in", "In the first round. none: π_ref gives whole responses, as the paper does on star graphs; policy: a response is cut at a uniform place and continued by π_ref (Algorithm 1), as in every later round.", "none", "none", "policy");
    private readonly Option<string> _switchAction = OptionFactory.Choice(
        "--switch-action", "The last token that is kept of a roll-in. policy: its own; uniform-topk: any one of the reference's --candidates likeliest, as the paper's theory has it.", "policy", "policy", "uniform-topk");
    private readonly Option<int> _rolloutLimit = OptionFactory.Integer(
        "--rollout-limit", "Most tokens of a roll-out behind the cut (1,024 in the paper's code); 0: what the roll-in has left of --max-tokens.", 0, 0, OptionFactory.MostTokens);
    private readonly Option<bool> _keep = OptionFactory.Flag("--keep-no-variation", "Learn from prompts too whose samples all have the same reward; always so with one sample a prompt.");

    public CollectOptions(Command verb)
    {
        foreach (Option option in (Option[])[_samples, _rollouts, _rollIn, _switchAction, _rolloutLimit, _keep]) verb.Options.Add(option);
    }

    public int Samples(ParseResult parsed) => parsed.GetValue(_samples);

    public long Rollouts(ParseResult parsed, GuideRecipe recipe) =>
        parsed.GetValue(_rollouts) is var count && count > 0 ? count : recipe.Steps > 0 ? recipe.Rollouts : TextRollouts;

    public RollIn RollIn(ParseResult parsed) => parsed.GetValue(_rollIn) == "none" ? Model.RollIn.None : Model.RollIn.Policy;

    /// <summary>With the options of the cut.</summary>
    public CollectSettings Apply(CollectSettings settings, ParseResult parsed)
    {
        bool isUniform = parsed.GetValue(_switchAction) == "uniform-topk";
        if (settings.RollIn == Model.RollIn.None && (isUniform || parsed.GetValue(_rolloutLimit) > 0))
            throw new UserException($"{(isUniform ? (Option)_switchAction : _rolloutLimit).Name} is about where a roll-in is cut; give --roll-in policy too.");
        if (isUniform && settings.Candidates == GuideRecipe.AllCandidates)
            throw new UserException("--switch-action uniform-topk takes one of --candidates tokens; give a number of them, not all.");
        return settings with { SwitchTopK = isUniform ? settings.Candidates : 0, RollOutLimit = parsed.GetValue(_rolloutLimit) };
    }

    public bool KeepNoVariation(ParseResult parsed) => parsed.GetValue(_keep) || Samples(parsed) == 1;

    public void AddTo(JsonObject settings, ParseResult parsed)
    {
        settings["samples"] = Samples(parsed);
        settings["rollouts"] = parsed.GetValue(_rollouts);
        settings["roll_in"] = parsed.GetValue(_rollIn);
        settings["switch_action"] = parsed.GetValue(_switchAction);
        settings["rollout_limit"] = parsed.GetValue(_rolloutLimit);
        settings["keep_no_variation"] = KeepNoVariation(parsed);
    }
}
