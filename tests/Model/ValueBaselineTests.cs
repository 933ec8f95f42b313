using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>VAS and the logarithmic form of controlled decoding.</summary>
public class ValueBaselineTests
{
    private static readonly double[] Rewards = [0.1, 0.9, 0.4, 0, 1, 0.2, 0.7, 0.3, 0.5];
    private static readonly TreeTask Tree = new(3, 2, leaf => Rewards[leaf]);

    [Fact]
    public void The_logarithmic_form_is_the_log_of_the_chance_but_for_a_constant()
    {
        using CpuDevice device = new(1);
        ValueMethod method = Catalog.FindValueMethod("cd-log")!;
        GuidanceRule rule = StarGraphRecipe.For(2, 3).Guide.Rule(method, eta: 3);   // whatever η is asked for
        float[] logits = [-20, -7, -1, 0, 2, 12];
        (Tensor values, Tensor g, DeviceBuffer memory) = Take(device, logits.Length);
        using (memory)
        {
            TensorValues.Write(logits, values);
            Ops.For(device).AtomTilt(values, ReturnFamily.Bernoulli, rule.Tilt, rule.Lambda, Tensor.None, g);
            float[] tilts = TensorValues.Read(g);
            for (int i = 0; i < logits.Length; i++)
            {
                double chance = 1 / (1 + Math.Exp(-logits[i])), last = 1 / (1 + Math.Exp(-logits[^1]));
                Assert.Equal(Math.Log(chance / last), tilts[i] - tilts[^1], 3e-5);
            }
        }
    }

    [Fact]
    public void Value_augmented_sampling_leaves_tokens_outside_at_the_mean_unless_they_are_cut_off()
    {
        ValueMethod method = Catalog.FindValueMethod("vas")!;
        Assert.Equal((Tilt.Mean, Outside.Mean), (GuideRecipe.Text.Rule(method, 0.1).Tilt, GuideRecipe.Text.Rule(method, 0.1).Outside));
        Assert.Equal(Outside.Truncate, StarGraphRecipe.For(2, 3).Guide.Rule(method, 0.1).Outside);
    }

    [Fact]
    public void Lambda_returns_mix_the_reward_with_the_guides_own_next_value()
    {
        using CpuDevice device = new(1);
        Ops ops = Ops.For(device);
        ValueSettings settings = new(HeadKind.V, ReturnFamily.Bernoulli, BidirectionalPrompt: false);
        using ValueModel guide = TestModels.Value(ops, TransformerConfig.Gpt2(1, 16, 2, 3, 4), settings, 4);
        TensorValues.Write(new float[guide.Weights.Head.Count], guide.Weights.Head);   // every value is ½
        if (!guide.Weights.HeadBias.IsNone) TensorValues.Write(new float[guide.Weights.HeadBias.Count], guide.Weights.HeadBias);
        Rollout[] rollouts = [new Rollout(0, 0, 1, [0, 1, 2, 0], 1, 0, 0, 1)];
        using LambdaReturnLearner learner = new(
            0.6f, ReturnFamily.Bernoulli, guide, new ControlledDecodingMethod(), new RolloutSource(rollouts, settings, 1),
            new OptimizerSettings(new LearningRate(0, 0, 0)), 1, heldOut: null);
        learner.Fill(1);
        float[] expected = [0.4f * 0.5f + 0.6f * 0.8f, 0.4f * 0.5f + 0.6f * 1, 1];
        for (int m = 0; m < 3; m++) Assert.Equal(expected[m], learner.Batch.LossReturns[m], 1e-6f);
    }

    [Fact]
    public void TD_lambda_learns_the_mean_reward_of_every_prefix()
    {
        using CpuDevice device = new(1);
        Ops ops = Ops.For(device);
        ValueSettings settings = new(HeadKind.V, ReturnFamily.Bernoulli, BidirectionalPrompt: false);
        PhiloxStream random = new(8);
        Rollout[] rollouts = [.. Enumerable.Range(0, 3000).Select(i =>
        {
            int leaf = random.NextInt(Tree.Leaves);
            return new Rollout(i, i, 1, [0, .. Tree.Path(leaf)], 1, 0, 0, (float)Rewards[leaf]);
        })];
        using ValueModel guide = TestModels.Value(ops, TransformerConfig.Gpt2(1, 16, 2, 3, 4), settings, 4);
        RolloutRows leaves = new([.. Enumerable.Range(0, 9).Select(leaf => new Rollout(leaf, leaf, 1, [0, .. Tree.Path(leaf)], 1, 0, 0, 0))], settings);
        using LambdaReturnLearner learner = new(
            0.5f, ReturnFamily.Bernoulli, guide, new ControlledDecodingMethod(), new RolloutSource(rollouts, settings, 1),
            new OptimizerSettings(new LearningRate(1e-2f, 20, 800, 0.01f)), 64, leaves);
        using (Trainer trainer = new(learner))
        {
            trainer.Run(800, "vas", new SilentProgress(), (_, _) => { }, CancellationToken.None);
            learner.FillHeldOut(0);
            learner.Upload();
            learner.Forward();
            float[] values = TensorValues.Read(learner.Outputs);
            for (int leaf = 0; leaf < 9; leaf++)
            {
                double mean = Rewards.Skip(leaf / 3 * 3).Take(3).Average();
                Assert.Equal(mean, ReturnFamily.Bernoulli.Mean(values.AsSpan(2 * leaf, 1)), 0.05);
                Assert.Equal(Rewards[leaf], ReturnFamily.Bernoulli.Mean(values.AsSpan(2 * leaf + 1, 1)), 0.05);
            }
        }
    }

    private static (Tensor Values, Tensor Tilts, DeviceBuffer Memory) Take(Device device, int count)
    {
        ((Tensor values, Tensor g), DeviceBuffer memory) = Arena.Build(device, arena => (arena.Take((1, count, 1)), arena.Take((1, count))));
        return (values, g, memory);
    }
}
