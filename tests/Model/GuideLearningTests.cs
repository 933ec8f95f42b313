using System.Runtime.InteropServices;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Which tokens bear loss, batches by tokens, and losses that need more than the batch.</summary>
public sealed class GuideLearningTests : IDisposable
{
    private const int Vocabulary = 7;

    private static readonly OptimizerSettings Settings = new(new LearningRate(3e-3f, 0, 1000));
    private static readonly ValueSettings Bernoulli = new(HeadKind.V, ReturnFamily.Bernoulli, BidirectionalPrompt: false);

    /// <summary>Rows of 5 to 14 tokens, prompts of 2 to 4, some tokens kept from a roll-in.</summary>
    private static readonly Rollout[] Rollouts = [.. Enumerable.Range(0, 23).Select(i =>
    {
        int prompt = 2 + i % 3, response = 3 + i * 7 % 8;
        return new Rollout(i, i, 1 + i % 2, TestModels.RandomTokens((ulong)i, prompt + response, Vocabulary), prompt, 1 + i % 3, 0, i % 4 / 3f);
    })];

    private readonly TemporaryFolder _folder = new();
    private readonly CpuDevice _device = new(1);
    private readonly Ops _ops;

    public GuideLearningTests() => _ops = Ops.For(_device);

    public void Dispose()
    {
        _device.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public void Batches_by_tokens_stay_within_them_and_take_each_roll_out_once_an_epoch()
    {
        BatchSize size = new(4, 40);
        RolloutSource source = new(Rollouts, Bernoulli, 3, size: size);
        long first = source.Steps(1), both = source.Steps(2);
        List<float> seen = [];
        List<(int Rows, int Time)> shapes = [];
        (TrainBatch batch, DeviceBuffer memory) = Arena.Build(_device, arena => new TrainBatch(size, source.Time, source.LossesPerRow, arena));
        using (memory)
        {
            for (int step = 1; step <= both; step++)
            {
                Fill(source, step, batch);
                Assert.True(batch.Rows <= 4 && batch.Rows * batch.Time <= 40, $"{batch.Rows} rows of {batch.Time}");
                Assert.Equal(1, batch.Positions.Weights.Span.ToArray().Sum(), 1e-5f);
                seen.AddRange(Texts(batch));
                shapes.Add((batch.Rows, batch.Time));
                if (step == first) Assert.Equal(Rollouts.Select(Sum).Order(), seen.Order());
            }
            Assert.Equal(Rollouts.Concat(Rollouts).Select(Sum).Order(), seen.Order());
            Assert.True(shapes.Distinct().Count() > 2 && shapes.Max(shape => shape.Rows) == 4);

            // A step's batch is its own, wherever one begins.
            Fill(source, 2, batch);
            float[] again = Texts(batch);
            Fill(new RolloutSource(Rollouts, Bernoulli, 3, size: size), (int)both - 1, batch);
            Fill(source, 2, batch);
            Assert.Equal(again, Texts(batch));
        }

        static float Sum(Rollout rollout) => rollout.Tokens.Select((token, t) => token * (t + 1f)).Sum();
        static float[] Texts(TrainBatch batch) => [.. Enumerable.Range(0, batch.Rows).Select(row => batch.TextOf(row, out _).ToArray().Select((token, t) => token * (t + 1f)).Sum())];
    }

    [Fact]
    public void Padding_changes_no_loss_and_a_run_by_tokens_that_resumed_has_the_bits_of_one_that_never_stopped()
    {
        using Run wide = new(_ops, new BatchSize(23)), narrow = new(_ops, new BatchSize(23, 23 * 14));
        Assert.Equal(wide.Step(), narrow.Step(), 1e-5);

        BatchSize size = new(4, 40);
        using Run straight = new(_ops, size), first = new(_ops, size), resumed = new(_ops, size, seed: 99);
        AssertResumes(straight, first, resumed);
    }

    [Fact]
    public void Loss_is_on_the_last_kept_token_alone_or_on_the_prompts_end_too()
    {
        RolloutRows single = new(Rollouts, Bernoulli, new LossTokens(LastKeptOnly: true, PromptEnd: false)), promptEnd = new(Rollouts, Bernoulli, new LossTokens(false, PromptEnd: true));
        Assert.Equal((1, Rollouts.Max(rollout => rollout.FirstLossToken + 1)), (single.LossesPerRow, single.Time));
        for (int i = 0; i < Rollouts.Length; i++)
        {
            Rollout rollout = Rollouts[i];
            Assert.Equal([rollout.FirstLossToken], Positions(single, i));
            IEnumerable<int> all = Enumerable.Range(rollout.FirstLossToken, rollout.Tokens.Length - rollout.FirstLossToken);
            Assert.Equal(rollout.Round == 1 ? all.Prepend(rollout.PromptLength - 1) : all, Positions(promptEnd, i));
        }

        int[] Positions(RolloutRows rows, int rollout)
        {
            (TrainBatch batch, DeviceBuffer memory) = Arena.Build(_device, arena => new TrainBatch(1, rows.Time, rows.LossesPerRow, arena));
            using (memory)
            {
                rows.Set(batch, 0, rollout, 1);
                batch.Upload(_device);
                int count = batch.LossesOf(0).Count;
                Assert.Equal(1, batch.Positions.Weights.Span[..count].ToArray().Sum(), 1e-5f);
                return batch.LossRows.Span<int>()[..count].ToArray();
            }
        }
    }

    [Fact]
    public void A_guide_stays_near_its_lagged_copy_and_resumes_with_it()
    {
        ReturnLoss loss = new(ReturnLossKind.Regularised, Kappa: 1, Lag: 5);
        using Run straight = new(_ops, 6, loss), first = new(_ops, 6, loss), resumed = new(_ops, 6, loss, seed: 99);
        AssertResumes(straight, first, resumed);

        double free = Drift(0.001f), held = Drift(100);
        Assert.True(held < 0.5 * free, $"Drift is {held} with a strong pull and {free} without.");

        double Drift(float kappa)
        {
            using Run run = new(_ops, 6, loss with { Kappa = kappa, Lag = 1000 });
            float[] before = run.Outputs();
            for (int i = 0; i < 30; i++) run.Step();
            return before.Zip(run.Outputs(), (a, b) => Math.Abs(a - b)).Average();
        }
    }

    [Theory]
    [InlineData(HeadKind.V, false, 0.7f, 1f, Vocabulary), InlineData(HeadKind.V, true, 0.7f, 1f, Vocabulary), InlineData(HeadKind.Q, false, 0.7f, 1f, Vocabulary)]
    [InlineData(HeadKind.V, false, 0.7f, 0.6f, Vocabulary), InlineData(HeadKind.V, true, 0.7f, 1f, 3), InlineData(HeadKind.Q, false, 0.7f, 0.6f, 2)]
    [InlineData(HeadKind.V, false, 0f, 1f, 3)]
    public void Next_values_are_means_of_the_guide_under_the_reference(HeadKind kind, bool bidirectional, float temperature, float topP, int candidates)
    {
        ValueSettings settings = new(kind, ReturnFamily.Bernoulli, bidirectional);
        TransformerConfig config = TestModels.Config("llama", Vocabulary, context: 14);
        using LanguageModel reference = TestModels.Language(_ops, TestModels.Config("gpt2", Vocabulary + 2, context: 14), 4);
        using ValueModel guide = TestModels.Value(_ops, config, settings, 5);
        Rollout[] rows = [Rollouts[1], Rollouts[4], Rollouts[7] with { Tokens = Rollouts[7].Tokens[..(Rollouts[7].FirstLossToken + 1)] }];
        using NextValueLearner learner = new(
            reference, new NextTokenLaw(temperature, topP, Vocabulary, candidates == Vocabulary ? GuideRecipe.AllCandidates : candidates), guide, new ControlledDecodingMethod(), new RolloutSource(rows, settings, 1), Settings, 3, null);
        learner.Fill(1);
        for (int row = 0; row < 3; row++)
        {
            int[] text = learner.Batch.TextOf(row, out int prompt).ToArray();
            Rollout rollout = rows.Single(each => each.Tokens.SequenceEqual(text));
            (int start, int count) = learner.Batch.LossesOf(row);
            Assert.Equal(rollout.Reward, learner.Batch.LossReturns[start + count - 1]);
            for (int m = 0; m < count - 1; m++)
                Assert.Equal(Expected(text[..(rollout.FirstLossToken + m + 1)], prompt), learner.Batch.LossReturns[start + m], 1e-4);
        }

        double Expected(int[] prefix, int prompt)
        {
            double[] logits = TestModels.Outputs(reference, prefix, 0, prefix.Length - 1, 0)[..Vocabulary], shares = [.. logits.Select(logit => Math.Exp(logit / (temperature == 0 ? 1 : temperature)))];
            double sum = shares.Sum(), mass = 0, mean = 0;
            foreach (int token in Enumerable.Range(0, Vocabulary).OrderByDescending(token => shares[token]).Take(candidates))
            {
                double logit = kind == HeadKind.V
                    ? TestModels.Outputs(guide, [.. prefix, token], prompt, prefix.Length, token)[0]
                    : TestModels.Outputs(guide, prefix, prompt, prefix.Length - 1, token)[0];
                mass += shares[token] / sum;
                mean += shares[token] / sum / (1 + Math.Exp(-logit));
                if (mass >= topP || temperature == 0) break;
            }
            return mean / mass;
        }
    }

    [Fact]
    public void Next_values_of_more_tokens_than_can_be_asked_about_are_refused_and_nothing_is_kept()
    {
        ValueSettings settings = new(HeadKind.V, ReturnFamily.Bernoulli, BidirectionalPrompt: false);
        TransformerConfig config = TestModels.Config("gpt2", GuidanceRule.MostCandidates + 1, context: 14);
        using LanguageModel reference = TestModels.Language(_ops, config, 4);
        using ValueModel guide = TestModels.Value(_ops, config, settings, 5);
        long before = _ops.Device.AllocatedBytes;
        Sentence.Assert(Assert.Throws<UserException>(() => new NextValueLearner(
            reference, new NextTokenLaw(1, 1, config.Vocab, GuideRecipe.AllCandidates), guide, new ControlledDecodingMethod(), new RolloutSource(Rollouts, settings, 1),
            Settings, 3, null)).Message, "--candidates all", "4097", "4096");
        Assert.Equal(before, _ops.Device.AllocatedBytes);
    }

    /// <summary>
    /// A tree whose 27 leaves the data has equally often. What CD-Q comes to at each of its 39 texts is π_ref's mean of the reward, which
    /// the data's own mean is far from.
    /// </summary>
    [Theory, InlineData(HeadKind.V, false), InlineData(HeadKind.V, true), InlineData(HeadKind.Q, false)]
    public void Next_values_come_to_the_references_mean_of_the_reward(HeadKind kind, bool bidirectional)
    {
        const int Width = 3, Leaves = Width * Width * Width, Steps = 1200;
        int[] prompt = [1, 2];
        Rollout[] leaves = [.. Enumerable.Range(0, Leaves).Select(leaf =>
            new Rollout(leaf, leaf, 1, [.. prompt, leaf / 9, leaf / 3 % Width, leaf % Width], prompt.Length, 0, 0, 0.1f + 0.8f * (leaf * 11 % Leaves) / (Leaves - 1)))];
        ValueSettings settings = new(kind, ReturnFamily.Bernoulli, bidirectional);
        using LanguageModel reference = TestModels.Language(_ops, TestModels.Config("gpt2", Width, context: 5), 4);
        using ValueModel guide = TestModels.Value(_ops, TestModels.Config("llama", Width, context: 5), settings, 5);
        using Trainer trainer = new(new NextValueLearner(
            reference, new NextTokenLaw(1, 1, Width, GuideRecipe.AllCandidates), guide, new ControlledDecodingMethod(), new RolloutSource(leaves, settings, 1),
            new OptimizerSettings(new LearningRate(3e-3f, 0, Steps, FinalShare: 0.1f)), Leaves, null));
        for (int step = 0; step < Steps; step++)
        {
            trainer.FillBatch();
            trainer.RunStep();
        }
        double away = 0;
        foreach (int[] text in leaves.SelectMany(leaf => (int[][])[leaf.Tokens[..3], leaf.Tokens[..4], leaf.Tokens]).DistinctBy(text => string.Join(' ', text)))
        {
            double logit = TestModels.Outputs(
                guide, text, bidirectional ? prompt.Length : 0, kind == HeadKind.V ? text.Length - 1 : text.Length - 2, text[^1])[0], expected = Mean(text);
            Assert.Equal(expected, 1 / (1 + Math.Exp(-logit)), 0.03);
            away = Math.Max(away, Math.Abs(expected - leaves.Where(leaf => leaf.Tokens.AsSpan().StartsWith(text)).Average(leaf => leaf.Reward)));
        }
        Assert.True(away > 0.1, $"The data's means are no further than {away} from π_ref's, so nothing tells them apart.");

        double Mean(int[] text)
        {
            if (text.Length == leaves[0].Tokens.Length) return leaves.Single(leaf => leaf.Tokens.SequenceEqual(text)).Reward;
            double[] shares = [.. TestModels.Outputs(reference, text, 0, text.Length - 1, 0).Select(Math.Exp)];
            return Enumerable.Range(0, Width).Sum(token => shares[token] / shares.Sum() * Mean([.. text, token]));
        }
    }

    [Fact]
    public void A_guide_of_exponentials_is_decoded_by_its_logarithm_at_its_own_eta()
    {
        Assert.Equal(MathF.Exp(-2.5f), ReturnLoss.Exponentiate(Rollouts[0] with { Reward = 0.5f }, ReturnFamily.Bernoulli, 0.2).Reward, 1e-6f);
        GuideRecipe recipe = GuideRecipe.Text with { Settings = Bernoulli with { Target = ValueTarget.Exponential, Eta = 0.2 } };
        GuidanceRule rule = recipe.Rule(Catalog.QSharp, 0.2);
        float[] logits = [-12, -5, -1, 0, 2, 12];
        ((Tensor values, Tensor g), DeviceBuffer memory) = Arena.Build(_device, arena => (arena.Take((1, logits.Length, 1)), arena.Take((1, logits.Length))));
        using (memory)
        {
            TensorValues.Write(logits, values);
            _ops.AtomTilt(values, rule.Family, rule.Tilt, rule.Lambda, Tensor.None, g);
            float[] tilts = TensorValues.Read(g);
            for (int i = 0; i < logits.Length; i++)
                Assert.Equal(Math.Log((1 + Math.Exp(-logits[^1])) / (1 + Math.Exp(-logits[i]))), tilts[i] - tilts[^1], 3e-5);
        }
        Assert.False(recipe.Rule(Catalog.QSharp, double.PositiveInfinity).IsGuided);
        Sentence.Assert(Assert.Throws<UserException>(() => recipe.Rule(Catalog.QSharp, 0.1)).Message, "--eta 0.1", "0.2");
        Sentence.Assert(Assert.Throws<UserException>(() => recipe.Rule(Catalog.FindValueMethod("cd")!, 0.2)).Message, "exponential", "cd");
    }

    private static void Fill(RolloutSource source, int step, TrainBatch batch)
    {
        batch.Clear();
        source.Fill(step, batch);
    }

    private void AssertResumes(Run straight, Run first, Run resumed)
    {
        for (int i = 0; i < 20; i++) straight.Step();
        for (int i = 0; i < 7; i++) first.Step();
        TrainerCheckpoint.Save(first.Trainer, _folder.Path, "settings");
        Assert.True(TrainerCheckpoint.LoadNewest(resumed.Trainer, _folder.Path, "settings"));
        for (int i = 0; i < 13; i++) resumed.Step();
        Assert.True(MemoryMarshal.AsBytes(straight.Model.Weights.All.Span<float>()).SequenceEqual(MemoryMarshal.AsBytes(resumed.Model.Weights.All.Span<float>())));
    }

    /// <summary>A guide and its trainer, both new.</summary>
    private sealed class Run : IDisposable
    {
        private readonly ModelLearner _learner;

        public Run(Ops ops, BatchSize size, ReturnLoss? loss = null, ulong seed = 1)
        {
            ValueSettings settings = loss is null ? Bernoulli : Bernoulli with { Family = ReturnFamily.Categorical(0, 1, 4) };
            Model = TestModels.Value(ops, TestModels.Config("llama", Vocabulary), settings, seed);
            RolloutSource source = new(Rollouts, settings, 3, size: size);
            _learner = loss is null
                ? new ModelLearner(Model, new QSharpMethod(settings.Family), source, Settings, size)
                : new LaggedLearner(loss, Model, source, Settings, size, null);
            Trainer = new Trainer(_learner);
        }

        public ValueModel Model { get; }

        public Trainer Trainer { get; }

        public double Step()
        {
            Trainer.FillBatch();
            return Trainer.RunStep();
        }

        /// <summary>The head's, of the first batch.</summary>
        public float[] Outputs()
        {
            _learner.Fill(1000);
            _learner.Upload();
            _learner.Forward();
            return TensorValues.Read(_learner.Outputs);
        }

        public void Dispose()
        {
            Trainer.Dispose();
            Model.Dispose();
        }
    }
}
