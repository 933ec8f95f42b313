using System.CommandLine;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>How a Q♯ guide is compared with the returns that it learns from.</summary>
internal sealed class LossOptions
{
    private static readonly ReturnLoss _usual = ReturnLoss.CrossEntropy;

    private readonly Option<string> _loss = OptionFactory.Choice(
        "--loss", "Of --method qsharp. cross-entropy: the paper's; mse: squared error of the chance, an ablation; exponential: e^(R/η) for the one --eta; kl-regularised and sinkhorn: of --family categorical, near the guide of some steps ago, and by optimal transport.",
        "cross-entropy", [.. ReturnLoss.Kinds.Select(kind => kind.Name)]);
    private readonly Option<string> _projection = OptionFactory.Choice(
        "--projection", "Of rewards between two atoms of --family categorical: split over both, or the nearest as in the paper's code.", "two-hot", "two-hot", "nearest");
    private readonly Option<float> _kappa = OptionFactory.NotNegative("--kappa", "Weight of nearness for --loss kl-regularised.", _usual.Kappa);
    private readonly Option<int> _lag = OptionFactory.Integer("--lag", "Steps after which --loss kl-regularised takes the guide to stay near anew.", _usual.Lag, 1);
    private readonly Option<float> _epsilon = OptionFactory.NotNegative("--sinkhorn-epsilon", "Price of entropy for --loss sinkhorn, in units of the reward.", _usual.Epsilon);
    private readonly Option<float> _power = OptionFactory.NotNegative("--sinkhorn-power", "Power of the distance that --loss sinkhorn takes as a cost, at most 2.", _usual.Power);
    private readonly Func<ParseResult, double?> _eta;

    /// <param name="eta">The one η that the command line speaks of, or null.</param>
    public LossOptions(Command verb, Func<ParseResult, double?> eta)
    {
        _eta = eta;
        foreach (Option option in All) verb.Options.Add(option);
    }

    public Option[] All => [_loss, _projection, _kappa, _lag, _epsilon, _power];

    public GuideRecipe Apply(GuideRecipe recipe, ParseResult parsed)
    {
        (string name, ReturnLossKind kind, FamilyKind? family) = ReturnLoss.Kinds.Single(each => each.Name == parsed.GetValue(_loss));
        FamilyKind own = recipe.Settings.Family.Kind;
        if (family is { } needed && needed != own)
            throw new UserException(needed == FamilyKind.Bernoulli ? $"--loss {name} learns one number; leave --family at bernoulli." : $"--loss {name} learns a distribution over atoms; add --family categorical.");
        if (kind == ReturnLossKind.Regularised && recipe.SharesTrunk)
            throw new UserException($"--loss {name} keeps a copy of the guide; give it a trunk of its own (--trunk own).");
        bool projects = own == FamilyKind.Categorical && kind is ReturnLossKind.CrossEntropy or ReturnLossKind.Regularised;
        RequireUse(parsed, projects, "a categorical cross-entropy", _projection);
        RequireUse(parsed, kind == ReturnLossKind.Regularised, "--loss kl-regularised", _kappa, _lag);
        RequireUse(parsed, kind == ReturnLossKind.Sinkhorn, "--loss sinkhorn", _epsilon, _power);
        ReturnLoss loss = new(
            kind, parsed.GetValue(_projection) == "nearest" ? Projection.Nearest : Projection.TwoHot, parsed.GetValue(_kappa), parsed.GetValue(_lag),
            parsed.GetValue(_epsilon), parsed.GetValue(_power));
        if (kind == ReturnLossKind.Sinkhorn && !(loss is { Epsilon: > 0, Power: > 0 and <= 2 }))
            throw new UserException("--loss sinkhorn: --sinkhorn-epsilon must be above 0, and --sinkhorn-power above 0 and at most 2.");
        if (kind == ReturnLossKind.Sinkhorn && recipe.Settings.Family.Atoms > Ops.MostSinkhornAtoms)
            throw new UserException($"--loss sinkhorn takes at most {Ops.MostSinkhornAtoms} atoms; lower --atoms.");
        return recipe with { Loss = loss, Eta = kind == ReturnLossKind.Exponential ? Eta(parsed) : recipe.Eta };
    }

    /// <summary>What shapes a guide's training, for config.json.</summary>
    public static void AddTo(JsonObject settings, GuideRecipe recipe)
    {
        ReturnLoss loss = recipe.Loss;
        settings["loss"] = ReturnLoss.Kinds.Single(each => each.Kind == loss.Kind).Name;
        settings["projection"] = loss.Projection == Projection.Nearest ? "nearest" : "two-hot";
        if (loss.Kind == ReturnLossKind.Exponential) settings["loss_eta"] = recipe.Eta;
        if (loss.Kind == ReturnLossKind.Regularised) (settings["kappa"], settings["lag"]) = (loss.Kappa, loss.Lag);
        if (loss.Kind == ReturnLossKind.Sinkhorn) (settings["sinkhorn_epsilon"], settings["sinkhorn_power"]) = (loss.Epsilon, loss.Power);
    }

    private double Eta(ParseResult parsed) => _eta(parsed) is { } eta && double.IsFinite(eta)
        ? eta
        : throw new UserException("--loss exponential learns for one η; give it with --eta, and as a number.");

    private static void RequireUse(ParseResult parsed, bool isUsed, string by, params ReadOnlySpan<Option> options)
    {
        foreach (Option option in options)
            if (!isUsed && parsed.IsGiven(option))
                throw new UserException($"{option.Name} is a setting of {by} alone; leave it out.");
    }
}
