using System.CommandLine;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>
/// Q♯ where an environment answers by chance, whole: pre-train a model that calls tools, roll out, learn the law of the return and
/// soft values from the same roll-outs, compare both with what is known by enumeration (docs/stochastic.md).
/// </summary>
internal sealed class ToolCallVerb
{
    private const int SamplerRows = 256;

    private readonly Command _verb = new("tool-call", "Q♯ where tools answer by chance, whole: the law of the return, which takes their luck for its own choice, beside soft values by temporal differences, and both beside the exact optimum.");
    private readonly Option<double> _eta = OptionFactory.Eta(0.1);
    private readonly Option<int> _referenceSteps = OptionFactory.Integer("--reference-steps", "Pre-training steps; 0 takes the recipe's.", 0, 0);
    private readonly Option<int> _rollouts = OptionFactory.Integer("--rollouts", "Roll-outs of the reference; 0 takes the recipe's.", 0, 0);
    private readonly Option<int> _steps = OptionFactory.Integer("--guide-steps", "Steps of learning each guide; 0 takes the recipe's.", 0, 0);
    private readonly Option<int> _problems = OptionFactory.Integer("--test-problems", "Held-out prompts to test on.", 400, 1, OptionFactory.MostProblems);
    private readonly Option<int> _samples = OptionFactory.Integer("--samples", "Responses to each test prompt.", 4, 1, OptionFactory.MostSamples);
    private readonly CommonOptions _common;

    private ToolCallVerb()
    {
        foreach (Option option in (Option[])[_eta, _referenceSteps, _rollouts, _steps, _problems, _samples]) _verb.Options.Add(option);
        _common = new CommonOptions(_verb);
        _verb.SetAction((parsed, stop) => Task.FromResult(Run(parsed, stop)));
    }

    public static Command Create() => new ToolCallVerb()._verb;

    private int Run(ParseResult parsed, CancellationToken stop)
    {
        double eta = parsed.GetValue(_eta);
        if (!double.IsFinite(eta)) throw new UserException("--eta inf: soft values are learned for a finite η; give a number, such as 0.1.");
        ToolCallTask task = new();
        ToolCallRecipe recipe = Recipe(parsed, task, eta);
        IProgressSink progress = _common.Progress(parsed);
        (Device device, Ops ops) = _common.Open(parsed);
        using Device owned = device;
        Experiment experiment = new(ops, task, recipe.Guide, _common.Seed(parsed), SamplerRows, progress, stop);
        Problem[] problems = experiment.TestProblems(parsed.GetValue(_problems), parsed.GetValue(_samples));
        RunFolder folder = _common.OpenFolder(parsed, _verb.Name, Settings(parsed, task, recipe));
        PhaseClock clock = new(folder.ReadJson("phases.json"));
        List<EpisodeEvaluation> results = [];
        ToolCallReport report;
        try
        {
            using MetricsLog metrics = new(folder);
            using LanguageModel reference = experiment.Pretrain(recipe.Reference, folder.File("reference"), folder.File("reference-run"), metrics, clock);
            experiment.CollectEpisodes(task, folder.File("rollouts"), reference, recipe.Rollouts, clock);
            RolloutData data = experiment.LoadRollouts(folder.File("rollouts"), reference, keepNoVariation: true);
            int samples = parsed.GetValue(_samples);
            results.Add(experiment.EvaluateEpisodes(task, reference, null, null, eta, problems, samples, clock));
            foreach (string name in (string[])["qsharp", "qsharp-td"])
            {
                ValueMethod method = Catalog.FindValueMethod(name)!;
                string to = folder.File("guide-" + name);
                using IGuide guide = experiment.FindGuide(to, reference)
                    ?? experiment.Learn(to, to + "-run", "guide-" + name, data, reference, method, metrics, clock).Guide;
                results.Add(experiment.EvaluateEpisodes(task, reference, guide, method, eta, problems, samples, clock));
            }
            using Scorer scorer = new(reference, task.Vocabulary);
            report = new ToolCallReport(eta, problems.Length, samples, results, [.. problems.Select(problem => ToolCallValues.Of(task, scorer, problem, eta))]);
        }
        finally
        {
            folder.WriteJson("phases.json", clock.ToJson());
        }
        JsonObject result = report.ToJson(_common.Seed(parsed), clock);
        folder.WriteJson("result.json", result);
        if (_common.Json(parsed)) Console.Out.WriteLine(result.ToJsonString());
        else report.Print(Console.Out, folder, clock);
        return ExitCodes.Done;
    }

    private ToolCallRecipe Recipe(ParseResult parsed, ToolCallTask task, double eta)
    {
        ToolCallRecipe usual = ToolCallRecipe.Usual(task);
        return new ToolCallRecipe(
            usual.Reference with { Steps = Asked(_referenceSteps, usual.Reference.Steps) },
            usual.Guide with { Eta = eta, Steps = Asked(_steps, usual.Guide.Steps) },
            Asked(_rollouts, (int)usual.Rollouts));

        int Asked(Option<int> option, int usual) => parsed.GetValue(option) is var asked && asked > 0 ? asked : usual;
    }

    private JsonObject Settings(ParseResult parsed, ToolCallTask task, ToolCallRecipe recipe)
    {
        JsonObject settings = GuideOptions.Describe(recipe.Guide);
        settings["task"] = task.Settings;
        settings["eta"] = recipe.Guide.Eta;
        settings["reference_steps"] = recipe.Reference.Steps;
        settings["rollouts"] = recipe.Rollouts;
        settings["test_problems"] = parsed.GetValue(_problems);
        settings["samples"] = parsed.GetValue(_samples);
        return settings;
    }
}
