using System.CommandLine;
using System.Text.Json.Nodes;

using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>What is compared, on how many graphs.</summary>
internal sealed class EvaluationOptions
{
    private readonly Option<CommaList<string>> _methods = OptionFactory.Choices(
        "--methods", "What to compare; qsharp and cd decode from the same guide.", ["reference", "qsharp", "cd"], ["reference", .. Catalog.ValueMethods.Select(method => method.Name)]);
    private readonly Option<CommaList<double>> _etas = OptionFactory.Etas(0.1);
    private readonly Option<int> _testGraphs = OptionFactory.Integer("--test-graphs", "Held-out graphs to test on.", 1000, 1);

    public EvaluationOptions(Command verb)
    {
        foreach (Option option in (Option[])[_methods, _etas, _testGraphs]) verb.Options.Add(option);
    }

    public int TestGraphs(ParseResult parsed) => parsed.GetValue(_testGraphs);

    public double[] Etas(ParseResult parsed) => parsed.GetValue(_etas).Values;

    public List<ValueMethod> Tilts(ParseResult parsed) => [.. Catalog.ValueMethods.Where(method => parsed.GetValue(_methods).Values.Contains(method.Name))];

    public void AddTo(JsonObject settings, ParseResult parsed)
    {
        settings["methods"] = parsed.GetValue(_methods).ToString();
        settings["eta"] = new JsonArray([.. Etas(parsed).Select(eta => (JsonNode)Results.Eta(eta))]);
        settings["test_graphs"] = TestGraphs(parsed);
    }
}
