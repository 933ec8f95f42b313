using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;
using QSharp.Tests.Kernels;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>
/// Whole models through the CUDA device: training steps and guided decoding against the CPU, recorded steps against plain
/// ones, and the golden figures of a real model. Where there is no card it is the stand-in that runs the kernels.
/// </summary>
[Collection(CudaCollection.Name)]
public sealed class CudaModelTests(CudaFixture cuda)
{
    private const int Vocab = 37, Steps = 6;

    public static TheoryData<string, string, DType> Trainings() => new()
    {
        { "gpt2", "language", DType.F32 }, { "gpt2", "language", DType.BF16 }, { "gpt2-untied", "V", DType.BF16 },
        { "llama", "Q", DType.F32 }, { "llama", "Q", DType.BF16 }, { "qwen2", "V", DType.BF16 }, { "qwen3", "language", DType.BF16 },
    };

    [Theory, MemberData(nameof(Trainings))]
    public void Training_steps_follow_those_of_the_CPU_and_the_loss_falls(string family, string head, DType matrices)
    {
        using CpuDevice cpu = new(1);
        using CudaDevice card = cuda.Open();
        using HeadedModel expected = NewModel(Ops.For(cpu), family, head, DType.F32);
        using HeadedModel model = NewModel(Ops.For(card), family, head, matrices);
        Initializer.CopyShared(model.Ops, expected.Weights, model.Weights);
        using Trainer slow = NewTrainer(expected), fast = NewTrainer(model);
        double tolerance = matrices == DType.F32 ? 1e-3 : 0.03, first = 0, last = 0;
        for (int step = 0; step < Steps; step++)
        {
            slow.FillBatch();
            fast.FillBatch();
            double right = slow.RunStep();
            last = fast.RunStep();
            if (step == 0) first = last;
            Assert.True(Math.Abs(last - right) <= tolerance * Math.Max(1, right), $"step {step}: the loss is {last}, on the CPU {right}.");
        }
        Assert.True(last < 0.9 * first, $"The loss went from {first} to {last}.");
    }

    [Theory, InlineData("gpt2", "language"), InlineData("llama", "V")]
    public void A_training_step_allocates_nothing_and_waits_for_its_loss_alone(string family, string head)
    {
        using CudaDevice card = cuda.Open();
        using HeadedModel model = NewModel(Ops.For(card), family, head, DType.BF16);
        using Trainer trainer = NewTrainer(model);
        for (int i = 0; i < 3; i++) Run();   // plain, captured, replayed
        long allocations = card.Allocations, native = StandIn.Calls("cuMemAlloc_v2"), waits = StandIn.Calls("cuStreamSynchronize"), launches = StandIn.Calls("cuLaunchKernel");
        Assert.Equal(0, Allocated.Bytes(Run));
        Assert.Equal(allocations, card.Allocations);
        Assert.Equal(native, StandIn.Calls("cuMemAlloc_v2"));
        Assert.Equal(launches, StandIn.Calls("cuLaunchKernel"));   // one graph instead
        Assert.True(StandIn.Calls("cuStreamSynchronize") - waits <= 5);

        void Run()
        {
            trainer.FillBatch();
            trainer.RunStep();
        }
    }

    [Fact]
    public void Both_roundings_train_and_differ_and_a_resumed_run_has_the_bits_of_one_that_never_stopped()
    {
        using CudaDevice card = cuda.Open();
        double[] nearest = Straight(false), stochastic = Straight(true);
        Assert.NotEqual(nearest, stochastic);
        foreach (bool isStochastic in (bool[])[false, true])
        {
            double[] straight = isStochastic ? stochastic : nearest;
            Assert.True(straight[^1] < 0.9 * straight[0], string.Join(", ", straight));
            using TemporaryFolder folder = new();
            using (HeadedModel first = NewModel(Ops.For(card), "llama", "language", DType.BF16))
            using (Trainer trainer = NewTrainer(first, isStochastic))
            {
                Losses(trainer, Steps / 2);
                TrainerCheckpoint.Save(trainer, folder.Path, "settings");
            }
            using HeadedModel model = NewModel(Ops.For(card), "llama", "language", DType.BF16);
            using Trainer resumed = NewTrainer(model, isStochastic);
            Losses(resumed, 1);   // what it did before must not matter
            Assert.True(TrainerCheckpoint.LoadNewest(resumed, folder.Path, "settings"));
            Assert.Equal(straight[(Steps / 2)..], Losses(resumed, Steps - Steps / 2));
        }

        double[] Straight(bool isStochastic)
        {
            using HeadedModel model = NewModel(Ops.For(card), "llama", "language", DType.BF16);
            using Trainer trainer = NewTrainer(model, isStochastic);
            return Losses(trainer, Steps);
        }

        static double[] Losses(Trainer trainer, int steps) => [.. Enumerable.Range(0, steps).Select(_ =>
        {
            trainer.FillBatch();
            return trainer.RunStep();
        })];
    }

    [Theory, InlineData(HeadKind.V, FamilyKind.Bernoulli, "llama"), InlineData(HeadKind.Q, FamilyKind.Categorical, "qwen2")]
    public void Guided_decoding_draws_the_tokens_of_the_CPU(HeadKind kind, FamilyKind family, string architecture)
    {
        using SamplerRig rig = new(architecture, kind, family);
        using CudaDevice card = cuda.Open();
        using Pair pair = new(card, rig, DType.F32);
        foreach (GuidanceRule rule in (GuidanceRule[])[GuidanceRule.Reference(0.8f, 0.9f), new(Tilt.LogMeanExp, rig.Family, 3, Outside.Min), new(Tilt.LogMeanExp, rig.Family, -2)])
        {
            SampleBatch right = rig.NewBatch(), batch = rig.NewBatch();
            using (Guidance fused = new FusedGuidance(rig.Ops))
            using (Sampler sampler = rig.NewSampler(fused)) SamplerRig.Draw(sampler, right, rule);
            foreach (bool isFused in (bool[])[true, false])
            {
                using Guidance guidance = isFused ? new FusedGuidance(pair.Ops) : new NaiveGuidance(pair.Ops);
                using Sampler sampler = pair.NewSampler(guidance);
                for (int round = 0; round < 2; round++)   // the second one replays the graph from its first step on
                {
                    SamplerRig.Draw(sampler, batch, rule);
                    for (int row = 0; row < SamplerRig.Rows; row++) SamplerRig.AssertSame($"{rule} fused {isFused}", right, row, batch, row, 2e-4);
                }
            }
        }
    }

    /// <summary>Every token scored at once, by either guide, plainly and replayed.</summary>
    [Theory, InlineData(false, true), InlineData(true, true), InlineData(true, false)]
    public void Decoding_over_the_full_vocabulary_draws_the_tokens_of_the_CPU(bool isShared, bool isFused)
    {
        using SamplerRig rig = new("llama", HeadKind.Q, FamilyKind.Categorical);
        using CudaDevice card = cuda.Open();
        using Pair pair = new(card, rig, DType.F32);
        using SharedTrunkGuide expected = new(rig.Reference, rig.Family, 24), shared = new(pair.Reference, rig.Family, 24);
        PhiloxStream random = new(3);
        foreach ((_, Tensor value, _) in expected.Weights.Named)
            foreach (ref float x in value.Span<float>()) x = 0.4f * random.NextNormal();
        Initializer.CopyShared(pair.Ops, expected.Weights, shared.Weights);
        SamplerShape shape = SamplerRig.Shape with { Candidates = GuideRecipe.AllCandidates };
        using Guidance onCpu = new FusedGuidance(rig.Ops), onCard = isFused ? new FusedGuidance(pair.Ops) : new NaiveGuidance(pair.Ops);
        using Sampler slow = new(rig.Reference, isShared ? expected : rig.Guide, onCpu, shape, []);
        using Sampler sampler = new(pair.Reference, isShared ? shared : pair.Guide, onCard, shape, []);
        foreach (GuidanceRule rule in (GuidanceRule[])[new(Tilt.LogMeanExp, rig.Family, 3), new(Tilt.LogMeanExp, rig.Family, 2, Outside.Zero, 0.8f, 0.9f, Order.TiltThenTemper)])
        {
            SampleBatch right = rig.NewBatch(), batch = rig.NewBatch();
            SamplerRig.Draw(slow, right, rule);
            for (int round = 0; round < 2; round++)   // the second one replays the graph from its first step on
            {
                SamplerRig.Draw(sampler, batch, rule);
                for (int row = 0; row < SamplerRig.Rows; row++) SamplerRig.AssertSame(rule.ToString(), right, row, batch, row, 2e-4);
            }
        }
    }

    [Fact]
    public void A_recorded_step_goes_on_with_other_prompts_whoever_shares_them()
    {
        using SamplerRig rig = new("llama", HeadKind.V, FamilyKind.Bernoulli);
        using CudaDevice card = cuda.Open();
        using Pair pair = new(card, rig, DType.F32);
        using Guidance onCpu = new FusedGuidance(rig.Ops), onCard = new FusedGuidance(pair.Ops);
        using Sampler expected = rig.NewSampler(onCpu), sampler = pair.NewSampler(onCard);
        GuidanceRule rule = new(Tilt.LogMeanExp, rig.Family, 2);
        foreach (int[] prompts in (int[][])[[0, 1, 2, 3, 4], [0, 0, 0, 0, 0], [1, 1, 4, 4, 4], [2, 2]])
        {
            SampleBatch right = NewBatch(), batch = NewBatch();
            SamplerRig.Draw(expected, right, rule);
            SamplerRig.Draw(sampler, batch, rule);
            for (int row = 0; row < prompts.Length; row++) SamplerRig.AssertSame(string.Join(' ', prompts), right, row, batch, row, 2e-4);

            SampleBatch NewBatch()
            {
                SampleBatch batch = new(SamplerRig.Rows, SamplerRig.PromptTokens, SamplerRig.NewTokens);
                for (int row = 0; row < prompts.Length; row++) batch.Add(SamplerRig.Prompt(prompts[row]), SamplerRig.Limit(row), SamplerRig.Stream(row));
                return batch;
            }
        }
    }

    [Fact]
    public void A_recorded_step_has_the_bits_of_a_plain_one_and_allocates_nothing()
    {
        using SamplerRig rig = new("llama", HeadKind.V, FamilyKind.Bernoulli);
        GuidanceRule rule = new(Tilt.LogMeanExp, rig.Family, 2);
        SampleBatch[] batches = [.. ((bool[])[false, true]).Select(records =>
        {
            using CudaDevice card = cuda.Open();
            card.Records = records;
            using Pair pair = new(card, rig, DType.BF16);
            using Guidance fused = new FusedGuidance(pair.Ops);
            using Sampler sampler = pair.NewSampler(fused);
            SampleBatch batch = rig.NewBatch();
            for (int i = 0; i < 2; i++) SamplerRig.Draw(sampler, batch, rule);
            long allocations = card.Allocations, graphs = StandIn.Calls("cuGraphLaunch");
            long whole = Allocated.Bytes(() => SamplerRig.Draw(sampler, batch, rule));
            SampleBatch one = rig.NewBatch();
            for (int row = 0; row < one.Count; row++) one.Limits[row] = 1;
            Assert.Equal(Allocated.Bytes(() => SamplerRig.Draw(sampler, one, rule)), whole);   // what a response takes is the same for any number of tokens
            SamplerRig.Draw(sampler, batch, rule);
            Assert.Equal(allocations, card.Allocations);
            Assert.Equal(records, StandIn.Calls("cuGraphLaunch") > graphs);
            return batch;
        })];
        for (int row = 0; row < SamplerRig.Rows; row++) SamplerRig.AssertSame("recorded", batches[0], row, batches[1], row, 0);
    }

    [Theory, InlineData(DType.F32), InlineData(DType.BF16)]
    public void The_story_model_gives_its_golden_figures(DType matrices)
    {
        string folder = Path.Combine(Repository.Root, "..", "shared", "models", "story");
        Assert.SkipUnless(Directory.Exists(folder), "../shared/models/story is absent.");
        using CudaDevice card = cuda.Open();
        using ModelFiles files = ModelFiles.Open(folder);
        using LanguageModel model = files.LoadLanguageModel(Ops.For(card), matrices == DType.F32 ? WeightFormat.F32 : WeightFormat.BF16);
        JsonNode golden = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "golden.json")))!.AsArray()[0]!;
        int[] ids = [.. golden["ids"]!.AsArray().Select(id => (int)id!)];
        using Scorer scorer = new(model, top: 10);
        Score score = scorer.Score(ids);
        Assert.Equal((double)golden["sequence_logprob"]!, score.Total, matrices == DType.F32 ? 1e-3 : 0.02 * ids.Length);
        Dictionary<int, double> last = score.LastTop.ToDictionary(entry => entry.Id, entry => (double)entry.LogProb);
        JsonNode likeliest = golden["last_top10"]!.AsArray()[0]!;
        Assert.Equal((double)likeliest[1]!, last[(int)likeliest[0]!], matrices == DType.F32 ? 1e-4 : 0.05);
    }

    private static HeadedModel NewModel(Ops ops, string family, string head, DType matrices)
    {
        TransformerConfig config = TestModels.Config(family, Vocab);
        HeadedModel model = head == "language" ? new LanguageModel(ops, config, matrices)
            : new ValueModel(ops, config, new ValueSettings(head == "V" ? HeadKind.V : HeadKind.Q, ReturnFamily.Bernoulli, false), matrices);
        Initializer.Fresh(model.Weights, config, 5);
        return model;
    }

    private static Trainer NewTrainer(HeadedModel model, bool roundsStochastically = false)
    {
        int[][] rows = [.. Enumerable.Range(0, 3).Select(row => TestModels.RandomTokens((ulong)row, 9 - 2 * row, Vocab))];
        ValueSettings? settings = (model as ValueModel)?.Settings;
        FixedRows source = new(rows, [2, 3, 1], [1, 0, 1], settings);
        Method method = settings is null ? new PretrainMethod() : new QSharpMethod(settings.Family);
        return new Trainer(model, method, source, new OptimizerSettings(new LearningRate(0.02f, 0, Steps), RoundsStochastically: roundsStochastically), rows.Length);
    }

    [Theory]
    [InlineData(DType.F32, DType.F32), InlineData(DType.F32, DType.BF16), InlineData(DType.BF16, DType.F32), InlineData(DType.BF16, DType.BF16)]
    public void Weights_copied_on_a_card_are_those_copied_through_the_host(DType from, DType to)
    {
        using CpuDevice cpu = new(1);
        using CudaDevice card = cuda.Open();
        using HeadedModel source = NewModel(Ops.For(cpu), "llama", "V", from);
        using HeadedModel there = NewModel(Ops.For(card), "llama", "V", from), copy = NewModel(Ops.For(card), "llama", "V", to), expected = NewModel(Ops.For(cpu), "llama", "V", to);
        foreach ((_, Tensor value, _) in copy.Weights.Named) TensorValues.Write(new float[value.Count], value);
        Initializer.CopyShared(there.Ops, source.Weights, there.Weights);
        long moved = StandIn.Calls("cuMemcpyDtoHAsync_v2") + StandIn.Calls("cuMemcpyHtoDAsync_v2");
        Initializer.CopyShared(copy.Ops, there.Weights, copy.Weights, "head");
        Assert.Equal(moved, StandIn.Calls("cuMemcpyDtoHAsync_v2") + StandIn.Calls("cuMemcpyHtoDAsync_v2"));
        Initializer.CopyShared(expected.Ops, source.Weights, expected.Weights);
        foreach (((string name, Tensor value, _), (_, Tensor wanted, _)) in copy.Weights.Named.Zip(expected.Weights.Named))
            Assert.Equal(name == "head" ? new float[value.Count] : TensorValues.Read(wanted), TensorValues.Read(value));
    }

    /// <summary>The rig's reference and guide on another device.</summary>
    private sealed class Pair : IDisposable
    {
        public Pair(CudaDevice device, SamplerRig rig, DType matrices)
        {
            Ops = Ops.For(device);
            Reference = new LanguageModel(Ops, rig.Reference.Config, matrices);
            Guide = new ValueModel(Ops, rig.Guide.Config, rig.Guide.Settings, matrices);
            Initializer.CopyShared(Ops, rig.Reference.Weights, Reference.Weights);
            Initializer.CopyShared(Ops, rig.Guide.Weights, Guide.Weights);
        }

        public Ops Ops { get; }

        public LanguageModel Reference { get; }

        public ValueModel Guide { get; }

        public Sampler NewSampler(Guidance guidance) => new(Reference, Guide, guidance, SamplerRig.Shape, []);

        public void Dispose()
        {
            Guide.Dispose();
            Reference.Dispose();
        }
    }
}
