using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>Which function of the reward a guide tilts by, and how strong it is.</summary>
internal sealed class TiltOptions
{
    private const string Exponential = "exp";

    private readonly Option<string> _tilt = OptionFactory.Text(
        "--tilt", "Function of the reward: exp, exp(reward/η); threshold:C, a reward of at least C; best-of:N, as the best of N samples; or an f-divergence at η in place of the KL: chi2, hellinger, reverse-kl, js, alpha:A.", Exponential);
    private readonly Option<double?> _budget = OptionFactory.OptionalNumber(
        "--kl-budget", "KL of a response in nats; each prompt gets the η that is foretold to cost it. In place of --eta.", least: 0);
    private readonly Option<double?> _target = OptionFactory.OptionalNumber(
        "--target-reward", "Mean reward; each prompt gets the η that is foretold to reach it. In place of --eta.", double.NegativeInfinity);

    public TiltOptions(Command verb)
    {
        foreach (Option option in All) verb.Options.Add(option);
    }

    public Option[] All => [_tilt, _budget, _target];

    public void AddTo(JsonObject settings, ParseResult parsed)
    {
        settings["tilt"] = parsed.GetValue(_tilt);
        settings["kl_budget"] = parsed.GetValue(_budget);
        settings["target_reward"] = parsed.GetValue(_target);
    }

    /// <summary>The functions asked for, one for each η where they have one; none for exp(reward/η) itself.</summary>
    /// <param name="hasEta">Whether the user has given η.</param>
    /// <param name="hasGuide">Whether there is a guide.</param>
    public List<TiltFunction> Functions(ParseResult parsed, IReadOnlyList<double> etas, bool hasEta, bool hasGuide)
    {
        string tilt = parsed.GetValue(_tilt)!;
        TiltFunction? strength = (parsed.GetValue(_budget), parsed.GetValue(_target)) switch
        {
            (not null, not null) => throw new UserException("--kl-budget and --target-reward each set the strength; give one of them."),
            ({ } nats, null) => new KlBudgetTilt(nats),
            (null, { } reward) => new TargetRewardTilt(reward),
            _ => null,
        };
        if (strength is not null && tilt != Exponential)
            throw new UserException($"--tilt {tilt}: --kl-budget and --target-reward set the strength of --tilt exp; leave one of them out.");
        List<TiltFunction> functions = strength is not null ? [strength] : Parse(tilt, etas);
        if (functions.Count == 0) return functions;
        if (!hasGuide) throw new UserException($"{Option(parsed, strength)} is for a guide; give one with --guide, or leave it out.");
        if (hasEta && double.IsNaN(functions[0].Eta)) throw new UserException($"{Option(parsed, strength)} does not depend on η; leave --eta out.");
        return functions;
    }

    /// <exception cref="UserException">The guide speaks of another thing than the reward, or the function cuts off all that it speaks of.</exception>
    public static void Require(IReadOnlyCollection<TiltFunction> functions, IGuide? guide)
    {
        if (functions.Count > 0 && guide?.Settings.Eta is { } only)
            throw new UserException(string.Create(CultureInfo.InvariantCulture, $"--tilt: this guide does not speak of the reward but was learned for η = {only} alone; leave --tilt, --kl-budget and --target-reward out."));
        foreach (ThresholdTilt threshold in functions.OfType<ThresholdTilt>())
            if (guide is not null && threshold.Least > guide.Settings.Family.Max)
                throw new UserException(string.Create(CultureInfo.InvariantCulture, $"--tilt {threshold.Name}: the guide's rewards end at {guide.Settings.Family.Max}; give a smaller threshold."));
    }

    private string Option(ParseResult parsed, TiltFunction? strength) => strength switch
    {
        KlBudgetTilt => "--kl-budget",
        TargetRewardTilt => "--target-reward",
        _ => $"--tilt {parsed.GetValue(_tilt)}",
    };

    private static List<TiltFunction> Parse(string text, IReadOnlyList<double> etas)
    {
        string[] parts = text.Split(':');
        bool hasNumber = double.TryParse(parts[^1], NumberStyles.Float, CultureInfo.InvariantCulture, out double number) && double.IsFinite(number);
        switch (parts)
        {
            case [Exponential]:
                return [];
            case ["threshold", _] when hasNumber:
                return [new ThresholdTilt(number)];
            case ["best-of", _] when hasNumber && number >= 1:
                return [new BestOfTilt(number)];
            case ["chi2"] or ["hellinger"] or ["reverse-kl"] or ["js"]:
            case ["alpha", _] when hasNumber && number != 1:
                break;
            default:
                throw new UserException($"--tilt {text}: say exp, threshold:C, best-of:N with N of at least 1, chi2, hellinger, reverse-kl, js, or alpha:A with A other than 1.");
        }
        if (etas.Any(eta => !(eta > 0 && double.IsFinite(eta)))) throw new UserException($"--tilt {text}: an f-divergence needs an --eta that is greater than 0 and finite.");
        return [.. etas.Select(eta => (TiltFunction)(parts[0] switch
        {
            "chi2" => new AlphaDivergenceTilt(text, 2, eta),
            "hellinger" => new AlphaDivergenceTilt(text, 0.5, eta),
            "reverse-kl" => new AlphaDivergenceTilt(text, 0, eta),
            "js" => new JensenShannonTilt(eta),
            _ => new AlphaDivergenceTilt(text, number, eta),
        }))];
    }
}
