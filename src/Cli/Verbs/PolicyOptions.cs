using System.CommandLine;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>How policies are trained: the baselines that change the model instead of guiding it.</summary>
internal sealed class PolicyOptions
{
    private readonly Option<int> _steps = OptionFactory.Integer("--policy-steps", "Steps of training a policy; 0 takes the guide's.", 0, 0);
    private readonly Option<float> _rate = OptionFactory.NotNegative("--policy-rate", "Largest learning rate of a policy.", 3e-4f);
    private readonly Option<int> _batch = OptionFactory.Integer("--policy-batch", "Responses of a step; a pair of dpo and rpo is two.", 64, 1, OptionFactory.MostRows);
    private readonly Option<float> _beta = OptionFactory.NotNegative("--beta", "Price of a nat of KL to the reference for reinforce, rloo and ppo; 0 as in the paper's star-graph code.", 0);
    private readonly Option<int> _samples = OptionFactory.Integer("--policy-samples", "Samples of each prompt for rloo.", 4, 1, OptionFactory.MostSamples);
    private readonly Option<int> _epochs = OptionFactory.Integer("--policy-epochs", "Steps of ppo on the same samples.", 4, 1, OptionFactory.MostEpochs);
    private readonly Option<float> _preferenceBeta = OptionFactory.NotNegative("--preference-beta", "β of dpo and rpo.", 0.1f);
    private readonly Option<float> _alpha = OptionFactory.NotNegative("--alpha", "Weight of rpo's likelihood of right responses.", 1);
    private readonly Option<bool> _normalized = OptionFactory.Flag("--length-normalized", "Take rpo's likelihood as a mean over tokens, as its paper does, not as a sum.");
    private readonly Option<bool> _plusMinus = OptionFactory.Flag("--plus-minus", "Rewards of 1 and -0.1 without a baseline for reinforce, as the paper's text has it.");

    private readonly Option<string> _divergence = OptionFactory.Choice("--divergence", "What algae-dice prices: how far the policy's visits lie from the reference's.", "kl", "kl", "chi2");
    private readonly Option<float> _diceAlpha = OptionFactory.NotNegative("--dice-alpha", "Price of that divergence for algae-dice, summed over the response's tokens.", 0.1f);
    private readonly Option<float> _nuRate = OptionFactory.NotNegative("--nu-rate", "Largest learning rate of algae-dice's ν, which has to follow the policy; 0 takes ten times --policy-rate.", 0);

    public PolicyOptions(Command verb)
    {
        foreach (Option option in (Option[])[_steps, _rate, _batch, _beta, _samples, _epochs, _preferenceBeta, _alpha, _normalized, _plusMinus, _divergence, _diceAlpha, _nuRate])
            verb.Options.Add(option);
    }

    /// <summary>Refuses the options that belong to other methods than those that are trained.</summary>
    public void RequireUse(ParseResult parsed, params string[] trained)
    {
        (Option[] Options, string[] Methods)[] uses =
        [
            ([_beta], ["reinforce", "reinforce-greedy", "rloo", "ppo"]), ([_samples], ["rloo"]), ([_epochs], ["ppo"]), ([_plusMinus], ["reinforce", "reinforce-greedy"]),
            ([_preferenceBeta], ["dpo", "rpo"]), ([_alpha, _normalized], ["rpo"]), ([_divergence, _diceAlpha, _nuRate], ["algae-dice"]),
        ];
        foreach ((Option[] options, string[] methods) in uses)
            if (!methods.Intersect(trained).Any() && parsed.FirstGiven(options) is { } given)
                throw new UserException($"{given.Name} is a setting of {string.Join(", ", methods)} alone; leave it out.");
    }

    public PolicyRecipe Recipe(ParseResult parsed, GuideRecipe guide)
    {
        int steps = parsed.GetValue(_steps) is var asked && asked > 0 ? asked : guide.Steps;
        if (steps == 0) throw new UserException("--policy-steps: this task's recipe fixes no number of steps; give one.");
        return new PolicyRecipe(
            steps, parsed.GetValue(_rate), Math.Min(guide.Warmup, steps / 10), parsed.GetValue(_batch), parsed.GetValue(_beta), parsed.GetValue(_samples),
            parsed.GetValue(_epochs), parsed.GetValue(_preferenceBeta), parsed.GetValue(_alpha), parsed.GetValue(_normalized), parsed.GetValue(_plusMinus),
            parsed.GetValue(_divergence) == "kl" ? Divergence.Kl : Divergence.ChiSquared, parsed.GetValue(_diceAlpha), parsed.GetValue(_nuRate));
    }

    /// <summary>Everything that shapes a policy's training, for config.json.</summary>
    public static JsonObject Describe(PolicyRecipe recipe) => new()
    {
        ["policy_steps"] = recipe.Steps,
        ["policy_rate"] = recipe.Rate,
        ["policy_batch"] = recipe.Batch,
        ["beta"] = recipe.Beta,
        ["policy_samples"] = recipe.Samples,
        ["policy_epochs"] = recipe.Epochs,
        ["preference_beta"] = recipe.PreferenceBeta,
        ["alpha"] = recipe.Alpha,
        ["length_normalized"] = recipe.IsNormalized,
        ["plus_minus"] = recipe.PlusMinus,
        ["divergence"] = recipe.Divergence == Divergence.Kl ? "kl" : "chi2",
        ["dice_alpha"] = recipe.DiceAlpha,
        ["nu_rate"] = recipe.NuRate,
    };
}
