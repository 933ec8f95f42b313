using System.CommandLine;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>How tokens are drawn from a reference and its guide.</summary>
internal sealed class DecodingOptions
{
    private readonly Option<float> _temperature = OptionFactory.Temperature(1);
    private readonly Option<float> _topP = OptionFactory.Share("--top-p", "Mass of the reference's most likely tokens that may be drawn.", 1);
    private readonly Option<string> _candidates = OptionFactory.Text(
        "--candidates", $"Tokens that the guide scores at each step: a number up to {GuidanceRule.MostCandidates}, or all for the exact law over the whole vocabulary (a Q-type or shared-trunk guide scores every token; a V-type one is drawn from by rejection); auto takes the recipe's.", "auto");
    private readonly Option<string> _outside = OptionFactory.Choice(
        "--outside", "Tilt of the tokens that are no candidates; auto takes the recipe's.", "auto", "auto", "martingale", "zero", "min", "truncate", "mean");
    private readonly Option<string> _order = OptionFactory.Choice(
        "--order", "exact: temperature and top-p shape the reference, then comes the tilt; official: the other way round, as in the paper's code.", "exact", "exact", "official");
    private readonly Option<string> _guidance = OptionFactory.Choice("--guidance", "One fused kernel, or a chain of steps as logits processors do it; both draw the same tokens.", "fused", "fused", "naive");

    public DecodingOptions(Command verb)
    {
        foreach (Option option in (Option[])[_temperature, _topP, .. Guided]) verb.Options.Add(option);
    }

    /// <summary>Those that say how a guide is decoded from, and nothing of the reference alone.</summary>
    public Option[] Guided => [_candidates, _outside, _order, _guidance];

    public float Temperature(ParseResult parsed) => parsed.GetValue(_temperature);

    public Guidance Guidance(ParseResult parsed, Ops ops) => parsed.GetValue(_guidance) == "naive" ? new NaiveGuidance(ops) : new FusedGuidance(ops);

    public GuideRecipe Apply(GuideRecipe recipe, ParseResult parsed)
    {
        float topP = parsed.GetValue(_topP);
        if (topP == 0) throw new UserException("--top-p 0: no token could be drawn; give a number above 0, or --temperature 0 for the most likely token.");
        int candidates = Candidates(parsed.GetValue(_candidates)!, recipe.Candidates);
        bool isOfficial = parsed.GetValue(_order) == "official";
        return recipe with
        {
            Temperature = parsed.GetValue(_temperature),
            TopP = topP,
            Candidates = candidates,
            Outside = parsed.GetValue(_outside) switch
            {
                "martingale" => Outside.Martingale,
                "zero" => Outside.Zero,
                "min" => Outside.Min,
                "truncate" => Outside.Truncate,
                "mean" => Outside.Mean,
                _ => recipe.Outside,
            },
            Order = isOfficial ? Order.TiltThenTemper : Order.TemperThenTilt,
        };
    }

    public void AddTo(JsonObject settings, ParseResult parsed)
    {
        settings["temperature"] = parsed.GetValue(_temperature);
        settings["top_p"] = parsed.GetValue(_topP);
        settings["candidates"] = parsed.GetValue(_candidates);
        settings["outside"] = parsed.GetValue(_outside);
        settings["order"] = parsed.GetValue(_order);
        settings["guidance"] = parsed.GetValue(_guidance);
    }

    private static int Candidates(string text, int recipe) => text switch
    {
        "auto" => recipe,
        "all" => GuideRecipe.AllCandidates,
        _ when int.TryParse(text, out int number) && number is >= 1 and <= GuidanceRule.MostCandidates => number,
        _ => throw new UserException($"--candidates {text}: give a whole number from 1 to {GuidanceRule.MostCandidates}, all, or auto."),
    };
}
