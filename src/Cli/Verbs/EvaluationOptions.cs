using System.CommandLine;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>What is compared, on how many graphs.</summary>
internal sealed class EvaluationOptions
{
    private const string All = "all";

    private readonly Option<CommaList<string>> _methods;
    private readonly ValueMethod[] _guided;
    private readonly Option<CommaList<double>> _etas;
    private readonly Option<int> _testGraphs = OptionFactory.Integer("--test-graphs", "Held-out problems to test on; also --limit.", 1000, 1, OptionFactory.MostProblems);

    /// <param name="trainsPolicies">Whether policies may be asked for too, and guides are learned for several η: not soft values, which have but one.</param>
    public EvaluationOptions(Command verb, bool trainsPolicies = false)
    {
        _guided = [.. Catalog.ValueMethods.Where(method => !trainsPolicies || !method.IsSoftBellman)];
        string[] guided = ["reference", .. _guided.Select(method => method.Name)];
        _methods = OptionFactory.Choices(
            "--methods", "What to compare; qsharp, cd and cd-log decode from one guide, vas, cd-q and qsharp-td from their own.", ["reference", "qsharp", "cd"],
            trainsPolicies ? [.. guided, .. Catalog.PolicyMethods.Select(method => method.Name), All] : guided);
        _etas = OptionFactory.Etas(0.1, canBeNegative: !trainsPolicies);
        _testGraphs.Aliases.Add("--limit");
        foreach (Option option in (Option[])[_methods, _etas, _testGraphs]) verb.Options.Add(option);
    }

    public int TestGraphs(ParseResult parsed) => parsed.GetValue(_testGraphs);

    public double[] Etas(ParseResult parsed) => parsed.GetValue(_etas).Values;

    public bool HasEta(ParseResult parsed) => parsed.IsGiven(_etas);

    /// <summary>Functions of the reward are for the distribution that qsharp learns; what else is asked for would not heed them.</summary>
    public void RequireQSharpAlone(ParseResult parsed)
    {
        if (!IsAsked(parsed, Catalog.QSharp.Name)) throw new UserException("--tilt, --kl-budget and --target-reward are for qsharp; add it to --methods, or leave them out.");
        string? other = parsed.IsGiven(_methods) ? parsed.GetValue(_methods).Values.FirstOrDefault(method => method is not ("reference" or "qsharp")) : null;
        if (other is not null) throw new UserException($"--methods {other}: --tilt, --kl-budget and --target-reward are for qsharp; leave {other} out.");
    }

    /// <summary>Refuses what a guide is needed for; without one the reference alone is tested, unless something else is asked for.</summary>
    public void RequireNoGuide(ParseResult parsed)
    {
        if (parsed.IsGiven(_methods) && Tilts(parsed) is [var first, ..])
            throw new UserException($"--methods {first.Name}: it decodes from a guide; give one with --guide, or ask for the reference alone.");
        parsed.RequireNoGuided(_etas);
    }

    public List<ValueMethod> Tilts(ParseResult parsed) => [.. _guided.Where(method => IsAsked(parsed, method.Name))];

    public List<PolicyEntry> Policies(ParseResult parsed) => [.. Catalog.PolicyMethods.Where(method => IsAsked(parsed, method.Name))];

    private bool IsAsked(ParseResult parsed, string method) => parsed.GetValue(_methods).Values is var asked && (asked.Contains(method) || asked.Contains(All));

    public void AddTo(JsonObject settings, ParseResult parsed)
    {
        settings["methods"] = parsed.GetValue(_methods).ToString();
        settings["eta"] = new JsonArray([.. Etas(parsed).Select(eta => Results.Eta(eta))]);
        settings["test_graphs"] = TestGraphs(parsed);
    }
}
