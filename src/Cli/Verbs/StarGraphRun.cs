using System.CommandLine;

using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>
/// What a star-graph run learns and judges once it has a reference: the guide that Q♯ and CD decode from, a guide of its own
/// for a method that learns otherwise, and policies; each whole in its folder before the next begins.
/// </summary>
internal sealed record StarGraphRun(
    ParseResult Parsed, Experiment Experiment, PolicyRecipe PolicyRecipe, CollectOptions Collect, EvaluationOptions Evaluation, int Rounds, RunFolder Folder,
    LanguageModel Reference, MetricsLog Metrics, PhaseClock Clock)
{
    private const string Data = "rollouts";

    /// <summary>Everything that was asked for, on the same graphs with the same noise; the reference first.</summary>
    public List<Evaluation> Results(Problem[] problems, Guidance guidance)
    {
        ILookup<bool, ValueMethod> guided = Evaluation.Tilts(Parsed).ToLookup(method => !method.Bootstraps);
        IGuide? guide = null;
        for (int round = 1; (guided[true].Any() || guided[false].Any()) && round <= Rounds; round++) guide = Round(round, guide);
        using IGuide? owned = guide;
        List<Evaluation> results = Experiment.Evaluate(Reference, guide, [.. guided[true]], Evaluation.Etas(Parsed), [], problems, samples: 1, guidance, Clock, Responses(""));
        foreach (ValueMethod method in guided[false])
        {
            using IGuide own = Learn("guide-" + method.Name, method);
            results.AddRange(Experiment.Evaluate(Reference, own, [method], Evaluation.Etas(Parsed), [], problems, samples: 1, guidance, Clock, Responses("-" + method.Name)).Skip(1));
        }
        foreach (PolicyEntry method in Evaluation.Policies(Parsed))
        {
            using LanguageModel policy = Train(method);
            results.Add(Experiment.EvaluatePolicy(method.Name, policy, Reference, problems, guidance, Clock, Responses("-" + method.Name)));
        }
        return results;

        string Responses(string suffix) => Folder.File($"responses{suffix}.bin");
    }

    private IGuide Round(int round, IGuide? last)
    {
        string name = round == Rounds ? "guide" : $"guide-round-{round}";
        double eta = Evaluation.Etas(Parsed).Min();
        CollectSettings settings = Collect.Apply(
            Experiment.CollectSettings(round, Collect.RollIn(Parsed), Collect.Samples(Parsed), eta, Experiment.Recipe.SharesTrunk ? 0 : null, last), Parsed);
        using IGuide? rollIn = last;
        RoundPlan plan = new(Folder.File(Data), settings, round * Collect.Rollouts(Parsed, Experiment.Recipe), Folder.File(name), name, Collect.KeepNoVariation(Parsed));
        return Experiment.Round(plan, Reference, rollIn, Metrics, Clock).Guide;
    }

    private IGuide Learn(string name, ValueMethod method) =>
        Experiment.FindGuide(Folder.File(name), Reference) ?? Experiment.Learn(
            Folder.File(name), Folder.File(name + "-run"), name, Experiment.LoadRollouts(Folder.File(Data), Reference, Collect.KeepNoVariation(Parsed)), Reference,
            method, Metrics, Clock).Guide;

    /// <summary>A policy trained from π_ref on the post-training graphs; what learns from π_ref's responses has as many as a policy draws itself.</summary>
    private LanguageModel Train(PolicyEntry method)
    {
        string folder = Folder.File(method.Name), data = Folder.File("policy-" + Data);
        IBatchSource? source = null;
        if (method.Data != PolicyData.Policy && !ModelFolder.Exists(folder))
        {
            CollectSettings settings = Experiment.CollectSettings(1, RollIn.None, Collect.Samples(Parsed), double.PositiveInfinity, hiddenLayer: null);
            Experiment.Collect(data, Reference, null, settings, (long)PolicyRecipe.Steps * PolicyRecipe.Batch, Clock);
            source = Experiment.DataSource(method, Experiment.LoadRollouts(data, Reference, keepNoVariation: true));
        }
        return Experiment.TrainPolicy(method, PolicyRecipe, Reference, source, folder, folder + "-run", Metrics, Clock);
    }
}
