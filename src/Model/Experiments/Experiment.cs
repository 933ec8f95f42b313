using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// The phases of an experiment on a task, each complete in its folder before the next begins, so that a stopped run
/// goes on where it was: pre-train π_ref, collect roll-outs, learn the guide, evaluate. The separate verbs call the same phases.
/// </summary>
public sealed partial class Experiment(Ops ops, ITask task, GuideRecipe recipe, ulong seed, int rows, IProgressSink progress, CancellationToken stop)
{
    // Streams of the seed; a phase's draws do not depend on what other phases drew.
    private const uint InitStream = 1, PretrainStream = 2, PostTrainStream = 3, OrderStream = 4, TestStream = 5, EvaluateStream = 6, HeldOutStream = 7, EpisodeStream = 8;

    private const int MostResponses = 1 << 27;   // of an evaluation, beyond all use

    private static readonly OptimizerSettings AdamW = new(new LearningRate(0, 0, 0), Beta1: 0.9f, Beta2: 0.99f, ClipNorm: 1);

    public ITask Task => task;

    public GuideRecipe Recipe => recipe;

    /// <summary>Responses sampled side by side.</summary>
    public int Rows => rows;

    /// <summary>How training rounds BF16 copies of the weights.</summary>
    public bool RoundsStochastically { get; set; }

    /// <summary>Where guides with a trunk of their own start from; null: π_ref. Not disposed with the experiment.</summary>
    public InitialModel? Initial { get; set; }

    /// <summary>The folder or file of the reference whose tokenizer and chat template go along with a policy; null where its tokens are no text.</summary>
    public string? ReferencePath { get; init; }

    /// <summary>Loads the reference of a folder, or trains it there.</summary>
    /// <param name="scratch">Where checkpoints of an unfinished phase lie.</param>
    public LanguageModel Pretrain(PretrainRecipe pretrain, string folder, string scratch, MetricsLog metrics, PhaseClock clock)
    {
        if (ModelFolder.Exists(folder)) return ModelFolder.LoadLanguageModel(ops, folder, Task);
        using PhaseClock.Running running = clock.Start("pretrain");
        LanguageModel model = new(ops, pretrain.Model);
        Initializer.Fresh(model.Weights, pretrain.Model, Philox.Key(seed, InitStream));
        LearningRate rate = new(pretrain.Rate, pretrain.Warmup, pretrain.Steps);
        ProblemSource source = new(Task, Philox.Key(seed, PretrainStream));
        using Trainer trainer = new(model, new PretrainMethod(), source, AdamW with { Rate = rate, RoundsStochastically = RoundsStochastically }, pretrain.Batch);
        new TrainingRun(trainer, "reference", scratch, Fingerprint($"pretrain {pretrain}"), metrics).Run(pretrain.Steps, progress, stop);
        ModelFolder.Save(model, folder, Task.Fingerprint);
        TrainerCheckpoint.Delete(scratch);
        clock.AddTokens(trainer.TokensTrained, trainer.SecondsTrained);
        return model;
    }

    /// <summary>The held-out problems of this seed.</summary>
    /// <param name="samples">Responses that are to be drawn to each.</param>
    /// <exception cref="UserException">There are none, or too few, or more responses than one evaluation keeps.</exception>
    public Problem[] TestProblems(int count, int samples = 1)
    {
        Problem[] problems = Task.TestProblems(Philox.Key(seed, TestStream), count);
        return (long)problems.Length * samples <= MostResponses ? problems
            : throw new UserException($"--samples {samples}: to {problems.Length} problems that makes {(long)problems.Length * samples} responses, and at most {MostResponses} are kept; give fewer, or fewer problems.");
    }

    /// <summary>π_ref at each temperature and, on top of it, the guide with each tilt and η.</summary>
    /// <param name="functions">Functions of the reward for Q♯'s guide in place of exp(reward/η); none: that.</param>
    /// <exception cref="UserException">The guide cannot be decoded so.</exception>
    public List<Policy> Policies(IGuide? guide, IReadOnlyList<ValueMethod> tilts, IReadOnlyList<double> etas, IReadOnlyList<TiltFunction> functions, IReadOnlyList<double> temperatures)
    {
        List<Policy> policies = [];
        foreach (double temperature in temperatures)
        {
            GuideRecipe at = recipe.With(guide) with { Temperature = (float)temperature };
            policies.Add(new Policy("reference", double.PositiveInfinity, at.Reference));
            if (guide is null) continue;
            policies.AddRange(functions.Select(function => new Policy("qsharp", function.Eta, at.RuleOfWeights) { Function = function }));
            if (functions.Count > 0) continue;
            policies.AddRange(tilts.SelectMany(tilt => (tilt.FixedEta is { } only ? [only] : etas).Select(eta => new Policy(tilt.Name, eta, at.Rule(tilt, eta)))));
        }
        return policies;
    }

    /// <summary>Evaluates π_ref and, for each tilt and η, the guide.</summary>
    /// <param name="functions">See <see cref="Policies"/>.</param>
    /// <param name="keep">File of the finished responses, from which a resumed run goes on.</param>
    public List<Evaluation> Evaluate(
        LanguageModel reference, IGuide? guide, IReadOnlyList<ValueMethod> tilts, IReadOnlyList<double> etas, IReadOnlyList<TiltFunction> functions, Problem[] problems,
        int samples, Guidance guidance, PhaseClock clock, string keep)
    {
        using PhaseClock.Running running = clock.Start("evaluate");
        List<Policy> policies = Policies(guide, tilts, etas, functions, [recipe.Temperature]);
        return Evaluate(reference, guide, policies, problems, samples, guidance, origin: null, judges: samples > 1, keep);
    }

    /// <summary>Evaluates policies with the same noise.</summary>
    /// <param name="origin">See <see cref="Evaluator"/>.</param>
    /// <param name="judges">Whether the guide judges finished responses too.</param>
    /// <param name="keep">File of the finished responses, from which a resumed run goes on.</param>
    public List<Evaluation> Evaluate(
        LanguageModel reference, IGuide? guide, IReadOnlyList<Policy> policies, Problem[] problems, int samples, Guidance guidance, GuidanceRule? origin, bool judges,
        string keep)
    {
        using ResponseFile kept = OpenResponses(
            keep, reference, guide, policies, problems, samples, origin is null ? "no KL of an origin" : FormattableString.Invariant($"KL from {origin.Temperature}, top-p {origin.TopP}"));
        Evaluator evaluator = new(Task, problems, samples, rows, recipe.Candidates, origin) { Kept = kept };
        return evaluator.Run(policies, reference, guide, guidance, Philox.Key(seed, EvaluateStream), judges, progress, stop);
    }

    private string Fingerprint(string phase) => FormattableString.Invariant($"{phase}; seed {seed}; {Task.Settings}; {recipe}{(RoundsStochastically ? "; stochastic rounding" : "")}");
}
