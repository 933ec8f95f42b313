using System.CommandLine;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>
/// The paper's star-graph experiment, whole: pre-train π_ref, roll out, learn the guide, compare on held-out graphs.
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
        Option<int> rounds = OptionFactory.Integer("--rounds", "Rounds of roll-outs and learning; from the second on the roll-in is guided.", 1, 1);
        verb.Options.Add(rounds);
        CommonOptions common = new(verb);
        verb.SetAction((parsed, stop) =>
        {
            StarGraphRecipe recipe = graph.Recipe(parsed);
            recipe = recipe with { Guide = decoding.Apply(guide.Apply(recipe.Guide, parsed), parsed) };
            Run(parsed, recipe, policy.Recipe(parsed, recipe.Guide), decoding, collect, evaluation, parsed.GetValue(rounds), common, stop);
            return Task.FromResult(ExitCodes.Done);
        });
        return verb;
    }

    private static void Run(
        ParseResult parsed, StarGraphRecipe recipe, PolicyRecipe policy, DecodingOptions decoding, CollectOptions collect, EvaluationOptions evaluation,
        int rounds, CommonOptions common, CancellationToken stop)
    {
        JsonObject settings = StarGraphOptions.Settings(recipe);
        foreach ((string key, JsonNode? value) in GuideOptions.Describe(recipe.Guide)) settings[key] = value?.DeepClone();
        foreach ((string key, JsonNode? value) in PolicyOptions.Describe(policy)) settings[key] = value?.DeepClone();
        decoding.AddTo(settings, parsed);
        settings["rounds"] = rounds;
        collect.AddTo(settings, parsed);
        evaluation.AddTo(settings, parsed);
        IProgressSink progress = common.Progress(parsed);
        ulong seed = common.Seed(parsed);
        (Device device, Ops ops) = common.Open(parsed);
        using Device owned = device;
        Experiment experiment = new(ops, new StarGraphTask(recipe.Graph), recipe.Guide, seed, SamplerRows, progress, stop);
        Problem[] problems = experiment.TestProblems(evaluation.TestGraphs(parsed));
        RunFolder folder = common.OpenFolder(parsed, "star-graph", settings);
        progress.Note(StarGraphOptions.Describe(recipe));

        using MetricsLog metrics = new(folder);
        PhaseClock clock = new(folder.ReadJson("phases.json"));
        List<PolicyEntry> policies = evaluation.Policies(parsed);
        List<Evaluation> results;
        try
        {
            using LanguageModel reference = experiment.Pretrain(recipe.Reference, folder.File("reference"), folder.File("reference-run"), metrics, clock);
            IGuide? guide = null;
            bool guided = evaluation.Tilts(parsed).Count > 0;
            for (int round = 1; guided && round <= rounds; round++)
                guide = Round(round, rounds, experiment, collect, evaluation, parsed, folder, reference, guide, metrics, clock);
            using IGuide? ownedGuide = guide;
            using Guidance guidance = decoding.Guidance(parsed, ops);
            results = experiment.Evaluate(reference, guide, evaluation.Tilts(parsed), evaluation.Etas(parsed), problems, samples: 1, guidance, clock);
            foreach (PolicyEntry entry in policies)
                results.Add(Policy(entry, policy, experiment, collect, parsed, folder, reference, problems, guidance, metrics, clock));
        }
        finally
        {
            folder.WriteJson("phases.json", clock.ToJson());
        }

        JsonObject result = Results.StarGraph(recipe, seed, problems.Length, results, clock);
        folder.WriteJson("result.json", result);
        metrics.Dispose();
        string[] pictures = Pictures.Draw(folder, recipe, results, policies, progress);
        if (common.Json(parsed)) Console.Out.WriteLine(result.ToJsonString());
        else Results.Print(Console.Out, folder, results, clock, pictures);
    }

    /// <summary>A policy trained from π_ref on the post-training graphs, judged on the same held-out ones as the rest.</summary>
    private static Evaluation Policy(
        PolicyEntry entry, PolicyRecipe recipe, Experiment experiment, CollectOptions collect, ParseResult parsed, RunFolder folder,
        LanguageModel reference, Problem[] problems, Guidance guidance, MetricsLog metrics, PhaseClock clock)
    {
        string data = folder.File("policy-rollouts"), path = folder.File(entry.Name);
        bool learnsFromData = entry.Data != PolicyData.Policy && !ModelFolder.Exists(path);
        if (learnsFromData)
        {
            CollectSettings settings = experiment.CollectSettings(1, RollIn.None, collect.Samples(parsed), double.PositiveInfinity, hidden: false);
            experiment.Collect(data, reference, null, settings, (long)recipe.Steps * recipe.Batch, clock);
        }
        RolloutData? rollouts = learnsFromData ? experiment.LoadRollouts(data, reference, keepNoVariation: true) : null;
        using LanguageModel policy = experiment.TrainPolicy(entry, recipe, reference, rollouts, path, path + "-run", metrics, clock);
        return experiment.EvaluatePolicy(entry.Name, policy, reference, problems, guidance, clock);
    }

    private static IGuide Round(
        int round, int rounds, Experiment experiment, CollectOptions collect, EvaluationOptions evaluation, ParseResult parsed,
        RunFolder folder, LanguageModel reference, IGuide? last, MetricsLog metrics, PhaseClock clock)
    {
        string name = round == rounds ? "guide" : $"guide-round-{round}", data = folder.File("rollouts");
        long perRound = collect.Rollouts(parsed, experiment.Recipe);
        double eta = evaluation.Etas(parsed).Min();
        CollectSettings settings = experiment.CollectSettings(round, collect.RollIn(parsed), collect.Samples(parsed), eta, experiment.Recipe.SharesTrunk);
        using IGuide? rollIn = last;
        if (experiment.FindGuide(folder.File(name), reference) is { } finished) return finished;
        experiment.Collect(data, reference, rollIn, settings, round * perRound, clock);
        return experiment.Learn(
            folder.File(name), folder.File(name + "-run"), name, experiment.LoadRollouts(data, reference, collect.KeepNoVariation(parsed)),
            reference, Catalog.FindValueMethod("qsharp")!, metrics, clock).Guide;
    }
}
