using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

public sealed partial class Experiment
{
    /// <summary>Loads the policy of a folder, or trains it there from the reference's weights.</summary>
    /// <param name="scratch">Where checkpoints of an unfinished phase lie.</param>
    /// <param name="data">As <see cref="DataSource"/> gives it.</param>
    public LanguageModel TrainPolicy(
        PolicyEntry method, PolicyRecipe policyRecipe, LanguageModel reference, IBatchSource? data, string folder, string scratch, MetricsLog metrics,
        PhaseClock clock)
    {
        if (ModelFolder.Exists(folder)) return ModelFolder.LoadLanguageModel(ops, folder, Task);
        IReadOnlyList<TextDocument> text = ReferencePath is null ? [] : TextDocument.ReadAll(ReferencePath);
        using PhaseClock.Running running = clock.Start("train");
        LanguageModel policy = new(ops, reference.Config);
        try
        {
            Initializer.CopyShared(ops, reference.Weights, policy.Weights);
            OptimizerSettings settings = AdamW with
            {
                Rate = new LearningRate(policyRecipe.Rate, policyRecipe.Warmup, policyRecipe.Steps),
                RoundsStochastically = RoundsStochastically,
            };
            IBatchSource source = data ?? FreshSource(method, policyRecipe, policy);
            using IDisposable? ownedSource = source as IDisposable;
            using Trainer trainer = new(Learner(method, policyRecipe, policy, reference, source, settings));
            new TrainingRun(trainer, method.Name, scratch, Fingerprint($"{method.Name} {policyRecipe}"), metrics).Run(policyRecipe.Steps, progress, stop);
            ModelFolder.Save(policy, folder, Task.Fingerprint, text);
            TrainerCheckpoint.Delete(scratch);
            clock.AddTokens(trainer.TokensTrained, trainer.SecondsTrained);
            return policy;
        }
        catch
        {
            policy.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Evaluates a policy. Its KL is estimated from the responses drawn: the mean of ln π − ln π_ref, π being the law that they were
    /// drawn from, π_ref all of it at the same temperature (of which top-p would leave what a policy can go beyond); of greedy ones, at 1.
    /// </summary>
    /// <param name="keep">File of the finished responses, from which a resumed run goes on.</param>
    public Evaluation EvaluatePolicy(string name, LanguageModel policy, LanguageModel reference, Problem[] problems, Guidance guidance, PhaseClock clock, string keep)
    {
        using PhaseClock.Running running = clock.Start("evaluate");
        Evaluation result = Evaluate(policy, null, [new Policy(name, double.NaN, recipe.Reference)], problems, samples: 1, guidance, origin: null, judges: false, keep)[0];
        using Scorer scorer = new(reference, top: 1, Task.Vocabulary, recipe.Temperature == 0 ? 1 : recipe.Temperature);
        return result with { Responses = [.. result.Responses.Select(response => response with { Kl = response.LogPolicy - LogReference(response), KlFloor = 0 })] };

        double LogReference(ScoredResponse response)
        {
            int[] prompt = problems[response.Problem].Prompt;
            return scorer.Score([.. prompt, .. response.Tokens]).LogProbs.Skip(prompt.Length - 1).Sum(value => (double)value);
        }
    }

    /// <summary>How a language model reads rows.</summary>
    private static ValueSettings PolicyRows { get; } = new(HeadKind.Q, ReturnFamily.Bernoulli, BidirectionalPrompt: false);

    /// <summary>The responses that are all π_ref's, with loss on every token: where π_ref went on with its own roll-in there is no cut.</summary>
    private static List<Rollout> Whole(IEnumerable<Rollout> rollouts) => [.. rollouts.Where(rollout => rollout.Lambda == 0).Select(rollout => rollout with { Kept = 0 })];

    private ModelLearner Learner(
        PolicyEntry method, PolicyRecipe policyRecipe, LanguageModel policy, LanguageModel reference, IBatchSource source, OptimizerSettings settings)
    {
        if (method.Dice is { } dice)
        {
            DiceObjective objective = dice(policyRecipe);
            NuModel model = new(reference, Task.Vocabulary, objective.Start(((RolloutSource)source).Rewards));
            (OptimizerSettings slow, OptimizerSettings fast) = AlgaeDiceLearner.Paces(settings, policyRecipe.NuRate);
            return new AlgaeDiceLearner(
                policy, new NuLearner(policy, model, objective, source, fast, policyRecipe.Batch), source, slow, policyRecipe.Batch);
        }
        if (method.Create(policyRecipe) is not { } loss) return new ModelLearner(policy, new PretrainMethod(), source, settings, policyRecipe.Batch, vocabulary: Task.Vocabulary);
        Critic? critic = loss.HasCritic ? new Critic(reference, source, settings, policyRecipe.Batch) : null;
        return new PolicyLearner(policy, reference, loss, source, settings, policyRecipe.Batch, critic, vocabulary: Task.Vocabulary);
    }

    private FreshSource FreshSource(PolicyEntry method, PolicyRecipe policyRecipe, LanguageModel policy)
    {
        FreshSettings settings = new(policyRecipe.Batch, policyRecipe.Group(method), method.Repeats ? policyRecipe.Epochs : 1, method.IsGreedy);
        return new FreshSource(Task, policy, settings, Philox.Key(seed, PostTrainStream));
    }

    /// <summary>What a method learns from in π_ref's roll-outs; null where it learns from the policy's own responses.</summary>
    /// <exception cref="UserException">There are no roll-outs, they are of another seed's problems, or hold nothing to learn from.</exception>
    public IBatchSource? DataSource(PolicyEntry method, RolloutData? data)
    {
        if (method.Data == PolicyData.Policy) return null;
        if (data is null) throw new UserException($"--method {method.Name} learns from roll-outs of the reference; give their folder with --data.");
        data = data.WithoutHeldOut();   // those choose a guide's parameters, and nothing of a policy
        ulong order = Philox.Key(seed, OrderStream);
        if (method.Data == PolicyData.Pairs)
        {
            List<PreferencePair> pairs = PreferencePair.From(Task, data.Train, Philox.Key(seed, PostTrainStream));
            return pairs.Count > 0
                ? new PairSource(pairs, order)
                : throw new UserException("No problem of the data set has a right and a wrong response; collect more samples of each prompt.");
        }
        if (method.Data == PolicyData.Rollouts && data.IsSwitched)
            throw new UserException($"--method {method.Name} learns from responses that are all the reference's own, and --switch-action put another token into each of the data set's; collect with --switch-action policy.");
        if (method.Data == PolicyData.Rollouts) return new RolloutSource(Whole(data.Train), PolicyRows, order);
        List<Rollout> right = [.. data.Train.Where(rollout => rollout.Reward == 1)];
        if (right.Count == 0) throw new UserException("No roll-out of the data set is right, so there is nothing to imitate; collect more.");
        return new RolloutSource(right, PolicyRows, order);
    }
}
