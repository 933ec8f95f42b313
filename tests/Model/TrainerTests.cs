using System.Runtime.InteropServices;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Training steps allocate nothing, do not depend on threads or interruptions, and weigh rows alike.</summary>
public sealed class TrainerTests : IDisposable
{
    private static readonly StarGraphTask Task = new(new StarGraphSettings(2, 3, 10));
    private static readonly OptimizerSettings Settings = new(new LearningRate(3e-3f, 5, 20, 0.1f), WeightDecay: 0.01f);

    private readonly string _folder = Directory.CreateTempSubdirectory("qsharp-trainer-").FullName;

    [Theory]
    [InlineData("gpt2", "language", 1), InlineData("qwen2", "language", 2), InlineData("llama", "V", 1), InlineData("gpt2", "Q", 2)]
    public void A_step_allocates_no_memory_of_either_kind(string family, string head, int threads)
    {
        using Run run = new(family, head, threads);
        for (int i = 0; i < 3; i++) run.Step();
        run.Trainer.FillBatch();
        long native = run.Device.Allocations;
        Assert.Equal(0, Allocated.Bytes(() => run.Trainer.RunStep()));
        Assert.Equal(native, run.Device.Allocations);
    }

    [Theory, InlineData("gpt2", "language"), InlineData("qwen2", "V"), InlineData("llama", "Q")]
    public void Weights_after_some_steps_are_bitwise_the_same_for_one_thread_and_two(string family, string head)
    {
        using Run one = new(family, head, 1), two = new(family, head, 2);
        for (int i = 0; i < 4; i++) Assert.Equal(one.Step(), two.Step());
        AssertSameBits(one, two);
    }

    [Theory, InlineData("gpt2", "language"), InlineData("qwen2", "V"), InlineData("llama", "Q")]
    public void A_run_that_was_saved_and_resumed_has_the_bits_of_one_that_never_stopped(string family, string head)
    {
        using Run straight = new(family, head, 1);
        for (int i = 0; i < 20; i++) straight.Step();
        using (Run first = new(family, head, 1))
        {
            for (int i = 0; i < 7; i++) first.Step();
            TrainerCheckpoint.Save(first.Trainer, _folder, "settings");
        }
        using Run resumed = new(family, head, 1, modelSeed: 99);   // whatever it starts from must be overwritten
        Assert.True(TrainerCheckpoint.LoadNewest(resumed.Trainer, _folder, "settings"));
        Assert.Equal(7, resumed.Trainer.Step);
        for (int i = 0; i < 13; i++) resumed.Step();
        Assert.Equal(20, resumed.Trainer.Step);
        AssertSameBits(straight, resumed);
    }

    [Fact]
    public void A_checkpoint_of_other_settings_or_of_another_model_is_refused()
    {
        using Run run = new("gpt2", "language", 1), other = new("llama", "language", 1);
        Assert.False(TrainerCheckpoint.LoadNewest(run.Trainer, _folder, "settings"));
        run.Step();
        TrainerCheckpoint.Save(run.Trainer, _folder, "settings");
        UserException refused = Assert.Throws<UserException>(() => TrainerCheckpoint.LoadNewest(run.Trainer, _folder, "other settings"));
        Assert.Contains("other settings", refused.Message);
        Assert.Throws<UserException>(() => TrainerCheckpoint.LoadNewest(other.Trainer, _folder, "settings"));
    }

    [Fact]
    public void Only_the_newest_checkpoint_is_kept_and_a_half_written_one_is_not_read()
    {
        using Run run = new("gpt2", "language", 1);
        run.Step();
        TrainerCheckpoint.Save(run.Trainer, _folder, "settings");
        run.Step();
        TrainerCheckpoint.Save(run.Trainer, _folder, "settings");
        Directory.CreateDirectory(Path.Combine(_folder, "checkpoint-000009.partial"));
        Assert.Single(Directory.GetDirectories(_folder), path => !path.EndsWith(".partial", StringComparison.Ordinal));
        using Run resumed = new("gpt2", "language", 1);
        Assert.True(TrainerCheckpoint.LoadNewest(resumed.Trainer, _folder, "settings"));
        Assert.Equal(2, resumed.Trainer.Step);
    }

    [Fact]
    public void Learning_rate_rises_in_a_line_and_falls_by_a_cosine()
    {
        LearningRate rate = new(2, 10, 110, 0.1f);
        Assert.Equal(0.2f, rate.At(1), 1e-6f);
        Assert.Equal(1.8f, rate.At(9), 1e-6f);
        Assert.Equal(2, rate.At(10), 1e-6f);
        Assert.Equal(2 * (0.1f + 0.9f * 0.5f), rate.At(60), 1e-6f);
        Assert.Equal(2 * (0.1f + 0.9f * 0.5f * (1 + MathF.Sqrt(0.5f))), rate.At(35), 1e-5f);
        Assert.Equal(0.2f, rate.At(110), 1e-6f);
        Assert.Equal(0.2f, rate.At(200), 1e-6f);
        LearningRate constant = new(0.5f, 0, 100);
        foreach (int step in new[] { 1, 50, 100, 1000 }) Assert.Equal(0.5f, constant.At(step));
    }

    [Theory, InlineData(0), InlineData(TrainBatch.MostTokens + 1)]
    public void A_batch_that_is_too_large_to_be_held_is_refused(int tokens)
    {
        UserException refused = Assert.Throws<UserException>(() => Arena.Measure(arena => new TrainBatch(new BatchSize(1 << 16, tokens), 1 << 16, 1, arena)));
        Sentence.Assert(refused.Message, "65536 rows", "make the batch smaller");
    }

    [Theory, InlineData(true), InlineData(false)]
    public void Every_row_weighs_one_over_the_batch_whatever_its_length(bool readsAtToken)
    {
        using CpuDevice device = new(1);
        (TrainBatch batch, DeviceBuffer memory) = Arena.Build(device, arena => new TrainBatch(3, 10, 7, arena));
        using (memory)
        {
            int[] lengths = [10, 4, 7], firsts = [3, 3, 2];
            for (int round = 0; round < 2; round++)   // a second filling must not see the first
            {
                batch.Clear();
                for (int row = 0; row < 3; row++)
                    batch.SetRow(row, TestModels.RandomTokens((ulong)row, lengths[row], 13), firsts[row], 0, readsAtToken, 0.5f, 1f / batch.Rows);
            }
            batch.Upload(device);
            Assert.Equal(21, batch.TokenCount);
            float[] weights = batch.Targets.Weights.Span<float>().ToArray();
            int[] rows = batch.LossRows.Span<int>().ToArray(), tokens = batch.Targets.Tokens.Span<int>().ToArray();
            for (int row = 0; row < 3; row++)
            {
                int[] own = [.. Enumerable.Range(0, weights.Length).Where(i => weights[i] > 0 && rows[i] / 10 == row)];
                Assert.Equal(lengths[row] - firsts[row], own.Length);
                Assert.Equal(1f / 3, own.Sum(i => weights[i]), 1e-6f);
                for (int i = 0; i < own.Length; i++)
                {
                    int token = firsts[row] + i;
                    Assert.Equal(row * 10 + token - (readsAtToken ? 0 : 1), rows[own[i]]);
                    Assert.Equal(batch.Tokens.Tokens.Span<int>()[row * 10 + token], tokens[own[i]]);
                }
            }
            Assert.Equal(1, weights.Sum(), 1e-6f);
        }
    }

    [Fact]
    public void Row_losses_are_means_over_the_row_and_the_step_returns_their_mean()
    {
        using CpuDevice device = new(1);
        using LanguageModel model = TestModels.Language(Ops.For(device), TestModels.Config("gpt2"), 5);
        int[][] rows = [TestModels.RandomTokens(1, 10, 13), TestModels.RandomTokens(2, 4, 13)];
        int[] firsts = [2, 3];
        double expected = 0;
        for (int row = 0; row < rows.Length; row++)
        {
            double sum = 0;
            for (int t = firsts[row]; t < rows[row].Length; t++)
                sum -= SamplingOracle.LogSoftmax(TestModels.Outputs(model, rows[row], 0, t - 1, 0), 1)[rows[row][t]];
            expected += sum / (rows[row].Length - firsts[row]) / rows.Length;
        }
        using Trainer trainer = new(model, new PretrainMethod(), new FixedRows(rows, firsts, [0, 0], null), Settings, rows.Length);
        trainer.FillBatch();
        Assert.Equal(expected, trainer.RunStep(), 1e-5);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static void AssertSameBits(Run a, Run b)
    {
        AssertSame(a.Model.Weights, b.Model.Weights);
        AssertSame(a.Trainer.Optimizer.FirstMoment, b.Trainer.Optimizer.FirstMoment);
        AssertSame(a.Trainer.Optimizer.SecondMoment, b.Trainer.Optimizer.SecondMoment);

        static void AssertSame(Parameters x, Parameters y) => Assert.True(
            MemoryMarshal.AsBytes(x.All.Span<float>()).SequenceEqual(MemoryMarshal.AsBytes(y.All.Span<float>())));
    }

    /// <summary>A device, a model and its trainer, all new.</summary>
    private sealed class Run : IDisposable
    {
        public Run(string family, string head, int threads, ulong modelSeed = 1)
        {
            Device = new CpuDevice(threads);
            Ops ops = Ops.For(Device);
            TransformerConfig config = TestModels.Config(family, Task.Vocabulary);
            if (head == "language")
            {
                Model = TestModels.Language(ops, config, modelSeed);
                Trainer = new Trainer(Model, new PretrainMethod(), new ProblemSource(Task, 5), Settings, 12);
                return;
            }
            ReturnFamily returns = head == "V" ? ReturnFamily.Bernoulli : ReturnFamily.Categorical(0, 1, 5);
            ValueSettings settings = new(head == "V" ? HeadKind.V : HeadKind.Q, returns, BidirectionalPrompt: head == "V");
            Model = TestModels.Value(ops, config, settings, modelSeed);
            Trainer = new Trainer(Model, new QSharpMethod(returns), new RolloutSource(Rollouts(), settings, 5), Settings, 12);
        }

        public CpuDevice Device { get; }

        public HeadedModel Model { get; }

        public Trainer Trainer { get; }

        public double Step()
        {
            Trainer.FillBatch();
            return Trainer.RunStep();
        }

        public void Dispose()
        {
            Trainer.Dispose();
            Model.Dispose();
            Device.Dispose();
        }

        private static Rollout[] Rollouts() =>
        [
            .. Enumerable.Range(0, 29).Select(i =>
            {
                Problem problem = Task.Problem(Split.PostTrain, 5, i);
                int[] response = TestModels.RandomTokens((ulong)i, 1 + i % 3, Task.Vocabulary);
                return new Rollout(i, i, 1, [.. problem.Prompt, .. response], problem.Prompt.Length, 0, 0, i % 4 / 3f);
            }),
        ];
    }
}
