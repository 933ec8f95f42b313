using System.Runtime.InteropServices;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Policy methods on trees that can be enumerated: their gradients, and the optimum that each is known to have.</summary>
public sealed class PolicyTests : IDisposable
{
    private const ulong ProblemKey = 5;

    // Rewards of the nine leaves of a tree with two steps of three tokens.
    private static readonly double[] Rewards = [0.1, 0.9, 0.4, 0, 1, 0.2, 0.7, 0.3, 0.5];
    private static readonly TreeTask Tree = new(3, 2, leaf => Rewards[leaf]);

    private readonly CpuDevice _device = new(1);
    private readonly Ops _ops;
    private readonly LanguageModel _reference;
    private readonly TemporaryFolder _folder = new();

    public PolicyTests()
    {
        _ops = Ops.For(_device);
        _reference = Model(3, 3);
    }

    public static TheoryData<string> Names => [.. Catalog.PolicyMethods.Where(method => method.Name is not ("sft" or "algae-dice")).Select(method => method.Name)];

    [Theory, MemberData(nameof(Names))]
    public void Weights_are_minus_the_slope_of_the_loss_over_each_log_probability(string name)
    {
        PolicyRecipe recipe = new(1, 0, 0, 8, Beta: 0.3f, Alpha: 0.7f, IsNormalized: true);
        PolicyMethod method = Catalog.FindPolicyMethod(name)!.Create(recipe)!;
        PolicyBatch batch = new(8, 24) { IsFresh = true };
        PhiloxStream random = new(9);
        for (int row = 0, at = 0; row < 8; row++)
        {
            batch.Losses[row] = (at, 1 + row % 3);
            batch.Rewards[row] = random.NextUniform();
            at += 1 + row % 3;
        }
        for (int m = 0; m < 24; m++)
        {
            batch.LogPolicy[m] = -3 * random.NextUniform();
            batch.LogSampled[m] = batch.LogPolicy[m] + 0.25f * random.NextNormal();   // some ratios are clipped, on either side
            batch.LogReference[m] = -3 * random.NextUniform();
            batch.Values[m] = random.NextUniform();
        }
        method.Weigh(batch);
        float[] weights = [.. batch.Weights];
        batch.IsFresh = false;
        (int start, int count) = batch.Losses[^1];
        for (int m = 0; m < start + count; m++)
        {
            const float step = 1e-3f;
            float before = batch.LogPolicy[m], high = before + step, low = before - step;
            batch.LogPolicy[m] = high;
            double above = method.Weigh(batch);
            batch.LogPolicy[m] = low;
            double slope = (above - method.Weigh(batch)) / ((double)high - low);
            batch.LogPolicy[m] = before;
            Assert.Equal(-slope, weights[m], 1e-3);
        }
        Assert.Contains(weights, weight => weight < 0);
        if (name == "ppo") Assert.Contains(weights[..(start + count)], weight => weight == 0);
    }

    [Theory, InlineData("reinforce"), InlineData("rloo")]
    public void The_mean_gradient_of_samples_is_the_exact_one(string name)
    {
        // Leave-one-out is unbiased; a mean that holds the sample itself scales the gradient by 1 − 1/B.
        const int rows = 64, batches = 1500;
        PolicyRecipe recipe = new(batches, 0, 0, rows);
        using Learning sampled = new(this, name, recipe);
        double[] mean = new double[sampled.Policy.Weights.Count];
        for (int step = 1; step <= batches; step++)
        {
            float[] gradient = sampled.Gradient(step);
            for (int i = 0; i < mean.Length; i++) mean[i] += gradient[i] / batches / (name == "rloo" ? 1 : 1 - 1.0 / rows);
        }
        float[] exact = ExactGradient(sampled.Policy);
        double error = Math.Sqrt(mean.Zip(exact, (a, b) => (a - b) * (a - b)).Sum()), size = Math.Sqrt(exact.Sum(b => (double)b * b));
        Assert.InRange(error / size, 0, 0.05);
        Assert.InRange(size, 0.01, 100);
    }

    [Theory, InlineData("reinforce", 0.5f), InlineData("rloo", 0.5f), InlineData("ppo", 0.5f), InlineData("rloo", 0.2f)]
    public void A_policy_with_a_price_on_KL_comes_to_the_law_that_is_best_for_it(string name, float beta)
    {
        using Learning learning = new(this, name, new PolicyRecipe(1200, 1e-2f, 20, 128, beta));
        learning.Run(1200);
        double[] reference = Law(_reference, Tree), policy = Law(learning.Policy, Tree);
        double[] best = [.. reference.Select((p, leaf) => p * Math.Exp(Rewards[leaf] / beta))];
        double sum = best.Sum(), distance = policy.Select((p, leaf) => Math.Abs(p - best[leaf] / sum)).Sum() / 2;
        Assert.InRange(distance, 0, 0.04);
        Assert.True(reference.Select((p, leaf) => Math.Abs(p - best[leaf] / sum)).Sum() / 2 > 0.2, "The reference is that law already.");
    }

    [Theory, InlineData("reinforce"), InlineData("rloo"), InlineData("ppo")]
    public void Without_a_price_all_mass_goes_to_the_best_leaf(string name)
    {
        using Learning learning = new(this, name, new PolicyRecipe(400, 1e-2f, 20, 64));
        learning.Run(400);
        Assert.InRange(Law(learning.Policy, Tree)[4], 0.97, 1);
    }

    [Fact]
    public void Greedy_samples_never_leave_the_likeliest_path()
    {
        using Learning learning = new(this, "reinforce-greedy", new PolicyRecipe(50, 1e-2f, 0, 16));
        learning.Run(50);
        double[] before = Law(_reference, Tree), after = Law(learning.Policy, Tree);
        // All rewards are the batch's mean, so nothing is learned.
        for (int leaf = 0; leaf < 9; leaf++) Assert.Equal(before[leaf], after[leaf], 1e-6);
    }

    [Theory, InlineData(0.75, 1f), InlineData(0.9, 0.5f)]
    public void DPO_comes_to_the_odds_of_the_preferences(double share, float beta)
    {
        TreeTask task = new(2, 1, _ => 0, share);
        using LanguageModel reference = Model(2, 4), policy = Model(2, 4);
        int count = 4000;
        // The wrong response is the one that the problem does not prefer.
        List<PreferencePair> pairs = [.. Enumerable.Range(0, count).Select(i => task.Problem(Split.PostTrain, ProblemKey, i).Answer[0])
            .Select(right => new PreferencePair(1, [0, right], [0, 1 - right]))];
        double actual = pairs.Count(pair => pair.Right[1] == 0) / (double)count;
        PolicyRecipe recipe = new(1500, 3e-3f, 20, 128, PreferenceBeta: beta);
        using PolicyLearner learner = new(
            policy, reference, Catalog.FindPolicyMethod("dpo")!.Create(recipe)!, new PairSource(pairs, 3), Settings(recipe), recipe.Batch);
        using Trainer trainer = new(learner);
        Run(trainer, 1500);
        double[] q = Law(reference, task), p = Law(policy, task);
        Assert.Equal(Math.Log(actual / (1 - actual)) / beta, Math.Log(p[0] / p[1]) - Math.Log(q[0] / q[1]), 0.1);
    }

    [Fact]
    public void RPO_raises_the_right_response_where_DPO_need_not()
    {
        List<PreferencePair> pairs = [new(1, [0, 0, 1], [0, 2, 2]), new(1, [0, 0, 1], [0, 1, 0])];
        PolicyRecipe recipe = new(200, 1e-2f, 20, 4);
        using LanguageModel policy = Model(3, 3);
        using PolicyLearner learner = new(
            policy, _reference, Catalog.FindPolicyMethod("rpo")!.Create(recipe)!, new PairSource(pairs, 3), Settings(recipe), recipe.Batch);
        using Trainer trainer = new(learner);
        Run(trainer, 200);
        Assert.InRange(Law(policy, Tree)[1], 0.97, 1);
    }

    [Fact]
    public void Pairs_are_a_right_answer_and_a_wrong_sample_of_the_same_problem()
    {
        Rollout Sample(long problem, int[] tokens, float reward) => new(problem, 0, 1, tokens, 1, 0, 0, reward);
        List<PreferencePair> pairs = PreferencePair.From(
            Tree, [Sample(0, [0, 0, 0], 1), Sample(1, [0, 1, 2], 1), Sample(1, [0, 2, 2], 0), Sample(1, [0, 2, 1], 0)], ProblemKey);
        PreferencePair pair = Assert.Single(pairs);
        Assert.Equal([0, 0, 0], pair.Right);
        Assert.Equal([0, 2, 2], pair.Wrong);
        UserException other = Assert.Throws<UserException>(() => PreferencePair.From(Tree, [Sample(1, [1, 2, 2], 0)], ProblemKey));
        Assert.Contains("--seed", other.Message);
    }

    [Theory, InlineData("reinforce"), InlineData("rloo"), InlineData("ppo")]
    public void A_run_that_was_saved_and_resumed_has_the_bits_of_one_that_never_stopped(string name)
    {
        PolicyRecipe recipe = new(20, 1e-2f, 5, 16, 0.1f);
        using Learning straight = new(this, name, recipe);
        straight.Run(20);
        using (Learning first = new(this, name, recipe))
        {
            first.Run(8);
            Assert.True(first.Trainer.IsBetweenSamples);
            TrainerCheckpoint.Save(first.Trainer, _folder.Path, "settings");
        }
        using Learning resumed = new(this, name, recipe);
        resumed.Run(1);   // whatever it starts from must be overwritten
        Assert.True(TrainerCheckpoint.LoadNewest(resumed.Trainer, _folder.Path, "settings"));
        resumed.Run(20);
        Assert.True(MemoryMarshal.AsBytes(straight.Policy.Weights.All.Span<float>()).SequenceEqual(MemoryMarshal.AsBytes(resumed.Policy.Weights.All.Span<float>())));
    }

    public void Dispose()
    {
        _reference.Dispose();
        _device.Dispose();
        _folder.Dispose();
    }

    private LanguageModel Model(int vocabulary, ulong seed) => TestModels.Language(_ops, TransformerConfig.Gpt2(1, 16, 2, vocabulary, 4), seed);

    private static OptimizerSettings Settings(PolicyRecipe recipe) => new(new LearningRate(recipe.Rate, recipe.Warmup, recipe.Steps, 0.01f));

    private static void Run(Trainer trainer, int steps) => trainer.Run(steps, "policy", new SilentProgress(), (_, _) => { }, CancellationToken.None);

    /// <summary>Probabilities of all leaves.</summary>
    private static double[] Law(LanguageModel model, TreeTask task)
    {
        using Scorer scorer = new(model, top: 1);
        return [.. Enumerable.Range(0, task.Leaves).Select(leaf => Math.Exp(scorer.Score([0, .. task.Path(leaf)]).Total))];
    }

    /// <summary>−Σ_y π(y) R(y) ∇ln π(y), over all leaves in one batch.</summary>
    private float[] ExactGradient(LanguageModel policy)
    {
        double[] law = Law(policy, Tree);
        using ModelLearner learner = new(policy, new PretrainMethod(), new LeafSource(law), new OptimizerSettings(new LearningRate(0, 0, 0)), Tree.Leaves);
        return Gradient(learner, 1);
    }

    private static float[] Gradient(ModelLearner learner, int step)
    {
        learner.Fill(step);
        learner.Upload();
        learner.Optimizer.ZeroGradients();
        learner.Forward();
        learner.Backward();
        return learner.Optimizer.Gradients.Named.SelectMany(parameter => TensorValues.Read(parameter.Value)).ToArray();
    }

    private sealed class LeafSource(double[] law) : IBatchSource
    {
        public int Time => 3;

        public int LossesPerRow => 2;

        public void Fill(int step, TrainBatch batch)
        {
            for (int leaf = 0; leaf < law.Length; leaf++)
                batch.SetRow(leaf, [0, .. Tree.Path(leaf)], 1, 0, readsAtToken: false, 0, (float)(2 * law[leaf] * Rewards[leaf]));   // summed over two tokens
        }
    }

    private sealed class Learning : IDisposable
    {
        private readonly FreshSource _source;
        private readonly PolicyLearner _learner;

        public Learning(PolicyTests tests, string name, PolicyRecipe recipe)
        {
            PolicyEntry entry = Catalog.FindPolicyMethod(name)!;
            PolicyMethod method = entry.Create(recipe)!;
            Policy = tests.Model(3, 3);
            FreshSettings fresh = new(recipe.Batch, entry.HasGroups ? recipe.Samples : 1, entry.Repeats ? recipe.Epochs : 1, entry.IsGreedy);
            _source = new FreshSource(Tree, Policy, fresh, ProblemKey);
            Critic? critic = method.HasCritic ? new Critic(tests._reference, _source, Settings(recipe), recipe.Batch) : null;
            _learner = new PolicyLearner(Policy, tests._reference, method, _source, Settings(recipe), recipe.Batch, critic);
            Trainer = new Trainer(_learner);
        }

        public LanguageModel Policy { get; }

        public Trainer Trainer { get; }

        public void Run(int steps) => PolicyTests.Run(Trainer, steps);

        public float[] Gradient(int step) => PolicyTests.Gradient(_learner, step);

        public void Dispose()
        {
            Trainer.Dispose();
            _source.Dispose();
            Policy.Dispose();
        }
    }
}
