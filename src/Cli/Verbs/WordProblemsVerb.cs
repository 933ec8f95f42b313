using System.CommandLine;
using System.Text.Json.Nodes;

using QSharp.Cli.Reports;
using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>
/// Q♯ on a chat model, whole: roll out one-step word problems, learn a head on the model's hidden states, roll out again with
/// guided roll-ins, learn anew from both, compare on sums that nobody trained on (docs/language.md).
/// </summary>
internal sealed class WordProblemsVerb
{
    // π_ref of the data: warm enough to find right and wrong answers to the same problem.
    private const float OriginTemperature = 0.7f;
    private const int SamplesPerProblem = 4, SamplerRows = 256;

    private readonly Command _verb = new("word-problems", "Q♯ on a small chat model, whole: one-step word problems, a guide on the model's own hidden states, two rounds, held-out sums.");
    private readonly Option<string?> _model = OptionFactory.RequiredText("--model", "The chat model: a folder, a GGUF file, or org/name from the local hub cache.");
    private readonly Option<int> _rollouts = OptionFactory.Integer("--rollouts", "Roll-outs of the first round.", 2000, SamplesPerProblem);
    private readonly Option<int> _second = OptionFactory.Integer("--second-round", "Roll-outs of the second round, whose roll-ins are guided; 0 leaves it out.", 1024, 0);
    private readonly Option<double> _rollInEta = OptionFactory.Eta("--roll-in-eta", "η of the second round's roll-ins.", 0.04);
    private readonly Option<CommaList<double>> _etas = OptionFactory.Etas(0.025, canBeNegative: false);
    private readonly Option<CommaList<double>> _temperatures = OptionFactory.Temperatures(0.7, 0.3);
    private readonly Option<int> _problems = OptionFactory.Integer("--test-problems", "Held-out problems to test on.", 512, 1, OptionFactory.MostProblems);
    private readonly Option<int> _hiddenLayer = CollectVerb.HiddenLayer();
    private readonly Option<int> _candidates = OptionFactory.Integer("--candidates", "Tokens that the guide scores at each step.", GuideRecipe.SharedTrunk.Candidates, 1, GuidanceRule.MostCandidates);
    private readonly Option<int> _samples = OptionFactory.Integer("--samples", "Responses to each test problem; with several, best-of-n by the guide is reported too.", 1, 1, OptionFactory.MostSamples);
    private readonly Option<CommaList<string>> _methods = OptionFactory.Choices(
        "--methods", "How the guide tilts; both from the same guide.", ["qsharp", "cd"], "qsharp", "cd");
    private readonly WeightsOption _weights;
    private readonly CommonOptions _common;

    private WordProblemsVerb()
    {
        foreach (Option option in (Option[])[_model, _rollouts, _second, _rollInEta, _hiddenLayer, _etas, _temperatures, _problems, _candidates, _samples, _methods]) _verb.Options.Add(option);
        _weights = new WeightsOption(_verb);
        _common = new CommonOptions(_verb);
        _verb.SetAction((parsed, stop) => Task.FromResult(Run(parsed, stop)));
    }

    public static Command Create() => new WordProblemsVerb()._verb;

    private int Run(ParseResult parsed, CancellationToken stop)
    {
        IProgressSink progress = _common.Progress(parsed);
        (Device device, Ops ops) = _common.Open(parsed);
        using Device owned = device;
        using ModelFiles files = ModelFiles.Open(parsed.GetValue(_model)!);
        WordProblemTask task = new(files, WordProblemTask.UsualResponseLimit);
        GuideRecipe recipe = GuideRecipe.SharedTrunk with { Temperature = OriginTemperature, Candidates = parsed.GetValue(_candidates) };
        Experiment experiment = new(ops, task, recipe, _common.Seed(parsed), SamplerRows, progress, stop);
        using LanguageModel reference = ModelFolder.LoadLanguageModel(ops, files, task, _weights.Value(parsed));
        JsonObject settings = Settings(parsed, task);
        Problem[] problems = experiment.TestProblems(parsed.GetValue(_problems), parsed.GetValue(_samples));
        RunFolder folder = _common.OpenFolder(parsed, _verb.Name, settings);
        using MetricsLog metrics = new(folder);
        PhaseClock clock = new(folder.ReadJson("phases.json"));
        List<Evaluation> results;
        try
        {
            using IGuide guide = Learn(parsed, experiment, reference, folder, metrics, clock);
            using FusedGuidance guidance = new(ops);
            using PhaseClock.Running running = clock.Start("evaluate");
            int samples = parsed.GetValue(_samples);
            List<Policy> policies = experiment.Policies(guide, Tilts(parsed), parsed.GetValue(_etas).Values, [], parsed.GetValue(_temperatures).Values);
            results = experiment.Evaluate(reference, guide, policies, problems, samples, guidance, recipe.Reference, judges: samples > 1, folder.File("responses.bin"));
        }
        finally
        {
            folder.WriteJson("phases.json", clock.ToJson());
        }
        EvaluationReport report = new(WordProblemTask.Name, task, problems, results, parsed.GetValue(_model)!, folder.File("guide"));
        JsonObject result = report.ToJson();
        result["seconds"] = clock.ToJson()["seconds"]!.DeepClone();
        report.Write(folder, settings, progress);
        folder.WriteJson("result.json", result);
        metrics.Dispose();
        if (_common.Json(parsed))
        {
            Console.Out.WriteLine(result.ToJsonString());
            return ExitCodes.Done;
        }
        report.Print(Console.Out, folder);
        Console.Out.WriteLine(FormattableString.Invariant(
            $"seconds: collect {clock.Seconds("collect"):0.0}, train {clock.Seconds("train"):0.0}, evaluate {clock.Seconds("evaluate"):0.0}"));
        return ExitCodes.Done;
    }

    private IGuide Learn(ParseResult parsed, Experiment experiment, LanguageModel reference, RunFolder folder, MetricsLog metrics, PhaseClock clock)
    {
        int second = parsed.GetValue(_second);
        string data = folder.File("rollouts"), last = folder.File("guide");
        if (experiment.FindGuide(last, reference) is { } finished) return finished;
        string first = second == 0 ? last : folder.File("guide-round-1");
        IGuide guide = Round(1, first, null, parsed.GetValue(_rollouts));
        if (second == 0) return guide;
        using (guide) return Round(2, last, guide, parsed.GetValue(_rollouts) + (long)second);

        IGuide Round(int number, string to, IGuide? rollIn, long total)
        {
            CollectSettings settings = experiment.CollectSettings(number, RollIn.None, SamplesPerProblem, parsed.GetValue(_rollInEta), parsed.GetValue(_hiddenLayer), rollIn);
            LearnedGuide learned = experiment.Round(
                new RoundPlan(data, settings, total, to, $"guide-round-{number}", KeepNoVariation: true), reference, rollIn, metrics, clock);
            if (learned.Report is { } report) folder.WriteJson($"held-out-round-{number}.json", report.ToJson());
            return learned.Guide;
        }
    }

    private List<ValueMethod> Tilts(ParseResult parsed) => [.. Catalog.ValueMethods.Where(method => parsed.GetValue(_methods).Values.Contains(method.Name))];

    private JsonObject Settings(ParseResult parsed, WordProblemTask task) => new()
    {
        ["task"] = task.Settings,
        ["rollouts"] = parsed.GetValue(_rollouts),
        ["second_round"] = parsed.GetValue(_second),
        ["roll_in_eta"] = parsed.GetValue(_rollInEta),
        ["hidden_layer"] = parsed.GetValue(_hiddenLayer),
        ["candidates"] = parsed.GetValue(_candidates),
    };
}
