using System.CommandLine;
using System.Text.Json.Nodes;

using QSharp.Cli.Reports;
using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>
/// The paper's star-graph experiment, whole: pre-train π_ref, roll out, learn the guide, train policies, compare on held-out graphs.
/// </summary>
internal static class StarGraphVerb
{
    private const int SamplerRows = 256;

    public static Command Create()
    {
        Command verb = new("star-graph", "The paper's star-graph experiment, whole: make graphs, pre-train a reference, roll out, learn the guide, compare on held-out graphs.");
        StarGraphOptions graph = new(verb);
        GuideOptions guide = new(verb);
        DecodingOptions decoding = new(verb);
        CollectOptions collect = new(verb);
        PolicyOptions policy = new(verb);
        EvaluationOptions evaluation = new(verb, trainsPolicies: true);
        LearningOptions learning = new(verb, parsed => evaluation.Etas(parsed) is [var only] ? only : null);
        Option<int> rounds = OptionFactory.Integer("--rounds", "Rounds of roll-outs and learning; from the second on the roll-in is guided.", 1, 1);
        verb.Options.Add(rounds);
        RoundingOption rounding = new(verb);
        CommonOptions common = new(verb);
        verb.SetAction((parsed, stop) =>
        {
            policy.RequireUse(parsed, [.. evaluation.Policies(parsed).Select(method => method.Name)]);
            StarGraphRecipe recipe = graph.Recipe(parsed);
            recipe = recipe with { Guide = learning.Apply(decoding.Apply(guide.Apply(recipe.Guide, parsed), parsed), parsed) };
            recipe.Guide.RequireDraws(recipe.Guide.Settings);
            Run(parsed, recipe, policy.Recipe(parsed, recipe.Guide), decoding, learning, collect, evaluation, parsed.GetValue(rounds), rounding, common, stop);
            return Task.FromResult(ExitCodes.Done);
        });
        return verb;
    }

    private static void Run(
        ParseResult parsed, StarGraphRecipe recipe, PolicyRecipe policy, DecodingOptions decoding, LearningOptions learning, CollectOptions collect,
        EvaluationOptions evaluation, int rounds, RoundingOption rounding, CommonOptions common, CancellationToken stop)
    {
        foreach (PolicyEntry method in evaluation.Policies(parsed)) policy.Require(method);
        ValueSettings learned = recipe.Guide.Learned(Catalog.QSharp);
        foreach (ValueMethod method in evaluation.Tilts(parsed))
            foreach (double eta in evaluation.Etas(parsed)) learned.Require(method, eta);
        JsonObject settings = StarGraphOptions.Settings(recipe);
        foreach ((string key, JsonNode? value) in GuideOptions.Describe(recipe.Guide)) settings[key] = value?.DeepClone();
        foreach ((string key, JsonNode? value) in PolicyOptions.Describe(policy)) settings[key] = value?.DeepClone();
        learning.AddTo(settings, parsed, recipe.Guide);
        decoding.AddTo(settings, parsed);
        settings["rounds"] = rounds;
        collect.AddTo(settings, parsed);
        evaluation.AddTo(settings, parsed);
        IProgressSink progress = common.Progress(parsed);
        ulong seed = common.Seed(parsed);
        (Device device, Ops ops) = common.Open(parsed);
        using Device owned = device;
        StarGraphTask task = new(recipe.Graph);
        using InitialModel? initial = learning.Initial(parsed, task, reference: null);
        Experiment experiment = new(ops, task, recipe.Guide, seed, SamplerRows, progress, stop) { Initial = initial };
        rounding.Apply(parsed, device, experiment, settings);
        Problem[] problems = experiment.TestProblems(evaluation.TestGraphs(parsed));
        RunFolder folder = common.OpenFolder(parsed, "star-graph", settings);
        progress.Note(StarGraphOptions.Describe(recipe));

        using MetricsLog metrics = new(folder);
        PhaseClock clock = new(folder.ReadJson("phases.json"));
        List<Evaluation> results;
        try
        {
            using LanguageModel reference = experiment.Pretrain(recipe.Reference, folder.File("reference"), folder.File("reference-run"), metrics, clock);
            StarGraphRun run = new(parsed, experiment, policy, collect, evaluation, rounds, folder, reference, metrics, clock);
            using Guidance guidance = decoding.Guidance(parsed, ops);
            results = run.Results(problems, guidance);
        }
        finally
        {
            folder.WriteJson("phases.json", clock.ToJson());
        }

        JsonObject result = Results.StarGraph(recipe, seed, problems.Length, results, clock);
        folder.WriteJson("result.json", result);
        metrics.Dispose();
        string[] pictures = Pictures.Draw(folder, recipe, results, evaluation.Policies(parsed), progress);
        if (common.Json(parsed)) Console.Out.WriteLine(result.ToJsonString());
        else Results.Print(Console.Out, folder, results, clock, pictures);
    }
}
