using System.Runtime.InteropServices;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>AlgaeDICE against the optimum of its objective, and DualDICE against ratios that are known, on trees that can be enumerated.</summary>
public sealed class DiceTests : IDisposable
{
    private const int Rows = 64;

    // Rewards of the nine leaves of a tree with two steps of three tokens.
    private static readonly double[] Rewards = [0.1, 0.9, 0.4, 0, 1, 0.2, 0.7, 0.3, 0.5];

    // Of 64 responses, how many come to each leaf.
    private static readonly int[] Counts = [9, 5, 12, 4, 3, 10, 8, 7, 6];

    private readonly CpuDevice _device = new(1);
    private readonly LanguageModel _reference;
    private readonly TemporaryFolder _folder = new();

    public DiceTests() => _reference = Model(3);

    [Fact]
    public void AlgaeDICE_comes_to_the_law_that_prices_early_tokens_more()
    {
        const float alpha = 0.1f;
        TreeTask tree = new(3, 2, leaf => Rewards[leaf]);
        using Learning learning = new(this, tree, new PolicyRecipe(1500, 1e-3f, 20, Rows, DiceAlpha: alpha));
        learning.Run(1500);
        double[] data = [.. Counts.Select(count => (double)count / Rows)], best = Best(data, alpha), policy = Law(learning.Policy, tree);
        Assert.InRange(Distance(policy, best), 0, 0.03);
        // With one price for all tokens it would be another law, Q♯'s.
        Assert.True(Distance(Normalized([.. data.Select((p, leaf) => p * Math.Exp(Rewards[leaf] / alpha))]), best) > 0.08);
        Assert.True(Distance(data, best) > 0.1);
    }

    [Theory, InlineData(1f), InlineData(0.3f)]
    public void With_χ2_it_comes_to_the_law_of_a_bandit_that_is_known_and_leaves_out_bad_arms(float alpha)
    {
        TreeTask bandit = new(9, 1, leaf => Rewards[leaf]);
        PolicyRecipe recipe = new(1500, 2e-3f, 20, Rows, Divergence: Divergence.ChiSquared, DiceAlpha: alpha, NuRate: 2e-2f);
        using Learning learning = new(this, bandit, recipe);
        learning.Run(1500);
        double[] data = [.. Counts.Select(count => (double)count / Rows)], policy = Law(learning.Policy, bandit);
        // ζ = [1 + (R − μ)/α]₊, with the μ at which its mean is 1.
        double low = -1, high = 1;
        for (int i = 0; i < 60; i++)
        {
            double middle = (low + high) / 2;
            if (Tilted(middle).Sum() > 1) low = middle;
            else high = middle;
        }
        double[] best = Tilted(high);
        Assert.InRange(Distance(policy, best), 0, 0.03);
        Assert.Equal(alpha < 0.5, best.Contains(0));

        double[] Tilted(double mu) => [.. data.Select((p, leaf) => p * Math.Max(0, 1 + (Rewards[leaf] - mu) / alpha))];
    }

    [Fact]
    public void DualDICE_comes_to_the_known_ratios_of_a_policy()
    {
        TreeTask tree = new(3, 2, leaf => Rewards[leaf]);
        using LanguageModel policy = Model(5);
        double[] data = [.. Counts.Select(count => (double)count / Rows)], law = Law(policy, tree);
        using NuLearner nu = new(policy, new NuModel(_reference, 3), DiceObjective.DualDice, Source(tree), Settings(2e-2f, 1500), Rows);
        using Trainer trainer = new(nu);
        Run(trainer, 1500);
        nu.Fill(1501);
        double largest = 0;
        for (int row = 0; row < Rows; row++)
        {
            int[] path = nu.Batch.TextOf(row, out _)[1..].ToArray();
            int start = nu.Batch.LossesOf(row).Start, leaf = 3 * path[0] + path[1];
            double Above(double[] of) => of.AsSpan(3 * path[0], 3).ToArray().Sum();
            Assert.Equal(Above(law) / Above(data), nu.Ratios[start], 0.03);
            Assert.Equal(law[leaf] / data[leaf], nu.Ratios[start + 1], 0.03);
            largest = Math.Max(largest, law[leaf] / data[leaf]);
        }
        Assert.True(largest > 2, $"The policy is near the data: {largest}.");
    }

    [Theory, InlineData(Divergence.Kl), InlineData(Divergence.ChiSquared)]
    public void Before_the_first_step_ratios_have_a_mean_of_1_and_what_has_more_reward_is_to_be_more(Divergence divergence)
    {
        TreeTask tree = new(3, 2, leaf => Rewards[leaf]);
        using Learning learning = new(this, tree, new PolicyRecipe(3, 1e-2f, 0, Rows, Divergence: divergence, DiceAlpha: 0.5f));
        learning.Nu.Fill(1);
        (double sum, double best) = (0, 0);
        for (int row = 0; row < Rows; row++)
        {
            int[] path = learning.Nu.Batch.TextOf(row, out _)[1..].ToArray();
            int start = learning.Nu.Batch.LossesOf(row).Start;
            Assert.Equal(1, learning.Nu.Ratios[start], 1e-5);
            double ratio = learning.Nu.Ratios[start + 1];
            sum += ratio;
            if (path is [1, 1]) best = ratio;   // the leaf with a reward of 1
            Assert.True(ratio > 0);
        }
        Assert.Equal(1, sum / Rows, 1e-4);
        Assert.Equal(best, learning.Nu.Ratios.Max(), 1e-6);
        Assert.InRange(best, 1.5, 4);
    }

    [Fact]
    public void Logits_are_made_some_rows_at_a_time_with_the_same_gradients()
    {
        TreeTask tree = new(3, 2, leaf => Rewards[leaf]);
        PolicyRecipe recipe = new(5, 1e-4f, 0, Rows, NuRate: 1e-2f);
        using Learning whole = new(this, tree, recipe), chunked = new(this, tree, recipe, 50 * 3 * sizeof(float));
        Assert.Equal((128, 50), (whole.Nu.Outputs.Shape.D0, chunked.Nu.Outputs.Shape.D0));
        float[][] a = Gradients(whole), b = Gradients(chunked);
        for (int model = 0; model < 2; model++)
        {
            double error = a[model].Zip(b[model], (x, y) => ((double)x - y) * (x - y)).Sum(), size = a[model].Sum(x => (double)x * x);
            Assert.InRange(Math.Sqrt(error / size), 0, 0.02);   // ν's first step goes by signs, which rounding turns where a slope is nearly 0
            Assert.True(size > 1e-8);
        }

        static float[][] Gradients(Learning learning) => [.. ((ModelLearner[])[learning.Nu, learning.Learner]).Select(learner =>
        {
            learner.Fill(1);
            learner.Upload();
            learner.Optimizer.ZeroGradients();
            learner.Forward();
            learner.Backward();
            return learner.Optimizer.Gradients.Named.SelectMany(parameter => TensorValues.Read(parameter.Value)).ToArray();
        })];
    }

    [Fact]
    public void A_run_that_was_saved_and_resumed_has_the_bits_of_one_that_never_stopped()
    {
        TreeTask tree = new(3, 2, leaf => Rewards[leaf]);
        PolicyRecipe recipe = new(20, 1e-2f, 5, 16);
        using Learning straight = new(this, tree, recipe);
        straight.Run(20);
        using (Learning first = new(this, tree, recipe))
        {
            first.Run(8);
            TrainerCheckpoint.Save(first.Trainer, _folder.Path, "settings");
        }
        using Learning resumed = new(this, tree, recipe);
        resumed.Run(1);   // whatever it starts from must be overwritten
        Assert.True(TrainerCheckpoint.LoadNewest(resumed.Trainer, _folder.Path, "settings"));
        resumed.Run(20);
        Assert.True(MemoryMarshal.AsBytes<float>(Values(straight.Policy)).SequenceEqual(MemoryMarshal.AsBytes<float>(Values(resumed.Policy))));
    }

    [Theory]
    [InlineData(Divergence.Kl, 0.5), InlineData(Divergence.Kl, 2), InlineData(Divergence.ChiSquared, 0.5), InlineData(Divergence.ChiSquared, 0.1), InlineData(Divergence.Squares, 0.1)]
    public void Ratios_are_the_slopes_of_the_Lagrangian(Divergence divergence, float alpha)
    {
        DiceObjective objective = new(divergence, alpha);
        float[] means = [0.3f, -0.4f, 0.9f], chosen = [0.2f, 0.1f, 0.4f], ratios = new float[3], scratch = new float[3];
        double Lagrangian(int changed, bool isMean, float step)
        {
            (float[] m, float[] v) = ([.. means], [.. chosen]);
            (isMean ? m : v)[changed] += step;
            return objective.Lagrangian(0.7f, m, v, scratch);
        }
        objective.Lagrangian(0.7f, means, chosen, ratios);
        const float small = 1e-3f;
        for (int t = 0; t < 3; t++)
        {
            double byMean = (Lagrangian(t, true, small) - Lagrangian(t, true, -small)) / (2 * small);
            double byChosen = (Lagrangian(t, false, small) - Lagrangian(t, false, -small)) / (2 * small);
            Assert.Equal(t == 0 ? 1 : ratios[t - 1], byMean, 5e-3 * Math.Max(1, Math.Abs(byMean)));
            Assert.Equal(-ratios[t], byChosen, 5e-3 * Math.Max(1, Math.Abs(byChosen)));
        }
        Assert.Equal(divergence == Divergence.Squares, ratios.Min() < 0);
    }

    [Fact]
    public void A_large_ratio_of_KL_is_bounded_and_goes_on_as_a_line()
    {
        DiceObjective objective = new(Divergence.Kl, 0.01f);
        float[] ratios = new float[1];
        double near = objective.Lagrangian(0.5f, [0], [0], ratios), far = objective.Lagrangian(1, [0], [0], ratios);
        Assert.Equal(Math.Exp(10), ratios[0], 1);
        Assert.Equal(0.5 * Math.Exp(10), far - near, 1);
    }

    public void Dispose()
    {
        _reference.Dispose();
        _device.Dispose();
        _folder.Dispose();
    }

    private LanguageModel Model(ulong seed, int vocabulary = 3) =>
        TestModels.Language(Ops.For(_device), TransformerConfig.Gpt2(1, 16, 2, vocabulary, 4), seed);

    private static OptimizerSettings Settings(float rate, int steps) => new(new LearningRate(rate, 20, steps, 0.01f));

    private static void Run(Trainer trainer, int steps) => trainer.Run(steps, "policy", new SilentProgress(), (_, _) => { }, CancellationToken.None);

    private static float[] Values(LanguageModel model) => model.Weights.All.Span<float>().ToArray();

    /// <summary>All 64 responses in every batch of as many.</summary>
    private static RolloutSource Source(TreeTask tree) => new(
        [.. Enumerable.Range(0, tree.Leaves).SelectMany(leaf => Enumerable.Repeat(leaf, Counts[leaf]))
            .Select((leaf, i) => new Rollout(0, i, 1, [0, .. tree.Path(leaf)], 1, 0, 0, (float)tree.RewardOf(leaf)))],
        new ValueSettings(HeadKind.Q, ReturnFamily.Bernoulli, BidirectionalPrompt: false), 1);

    /// <summary>Probabilities of all leaves.</summary>
    private static double[] Law(LanguageModel model, TreeTask task)
    {
        using Scorer scorer = new(model, top: 1);
        return [.. Enumerable.Range(0, task.Leaves).Select(leaf => Math.Exp(scorer.Score([0, .. task.Path(leaf)]).Total))];
    }

    /// <summary>The best law on the tree of E[R] − α Σ_h KL of the visits after h tokens, backwards: token t of two costs α(3 − t) a nat.</summary>
    private static double[] Best(double[] data, double alpha)
    {
        double[] best = new double[9], first = new double[3];
        for (int y = 0; y < 3; y++)
        {
            double share = data.AsSpan(3 * y, 3).ToArray().Sum(), sum = 0;
            for (int leaf = 3 * y; leaf < 3 * y + 3; leaf++) sum += best[leaf] = data[leaf] / share * Math.Exp(Rewards[leaf] / alpha);
            for (int leaf = 3 * y; leaf < 3 * y + 3; leaf++) best[leaf] /= sum;
            first[y] = share * Math.Exp(alpha * Math.Log(sum) / (2 * alpha));
        }
        first = Normalized(first);
        return [.. best.Select((p, leaf) => first[leaf / 3] * p)];
    }

    private static double[] Normalized(double[] weights) => [.. weights.Select(weight => weight / weights.Sum())];

    /// <summary>Total variation.</summary>
    private static double Distance(double[] a, double[] b) => a.Zip(b, (p, q) => Math.Abs(p - q)).Sum() / 2;

    private sealed class Learning : IDisposable
    {
        private readonly LanguageModel _reference;

        public Learning(DiceTests tests, TreeTask tree, PolicyRecipe recipe, long chunkBytes = 1 << 20)
        {
            DiceObjective objective = Catalog.FindPolicyMethod("algae-dice")!.Dice!(recipe);
            _reference = tests.Model(3, tree.Vocabulary);
            Policy = tests.Model(3, tree.Vocabulary);
            (OptimizerSettings slow, OptimizerSettings fast) = AlgaeDiceLearner.Paces(new OptimizerSettings(new LearningRate(recipe.Rate, recipe.Warmup, recipe.Steps)), recipe.NuRate);
            RolloutSource source = Source(tree);
            Nu = new NuLearner(
                Policy, new NuModel(_reference, tree.Vocabulary, objective.Start(source.Rewards)), objective, source, fast, recipe.Batch, chunkBytes: chunkBytes);
            Learner = new AlgaeDiceLearner(Policy, Nu, source, slow, recipe.Batch, chunkBytes);
            Trainer = new Trainer(Learner);
        }

        public LanguageModel Policy { get; }

        public NuLearner Nu { get; }

        public AlgaeDiceLearner Learner { get; }

        public Trainer Trainer { get; }

        public void Run(int steps) => DiceTests.Run(Trainer, steps);

        public void Dispose()
        {
            Trainer.Dispose();
            Policy.Dispose();
            _reference.Dispose();
        }
    }
}
