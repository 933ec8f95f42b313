using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>A guide on π_ref's own hidden states: its law, its learning, its data and its folder.</summary>
public sealed class SharedTrunkTests : IDisposable
{
    private const int Vocab = SamplerRig.Vocab, Hidden = SharedHeads.Hidden;

    private readonly TemporaryFolder _folder = new();
    private readonly CpuDevice _device = new(1);
    private readonly Ops _ops;
    private readonly LanguageModel _reference;

    public SharedTrunkTests()
    {
        _ops = Ops.For(_device);
        _reference = TestModels.Language(_ops, TestModels.Config("llama", Vocab), 11);
        foreach (ref float weight in _reference.Weights.FinalNorm.Span<float>()) weight *= 0.4f;
    }

    public static TheoryData<FamilyKind> Families() => [FamilyKind.Bernoulli, FamilyKind.Categorical];

    public void Dispose()
    {
        _reference.Dispose();
        _device.Dispose();
        _folder.Dispose();
    }

    /// <summary>The laws of a response, rebuilt token by token from passes over whole rows and the head's formula in float64.</summary>
    [Theory, InlineData(FamilyKind.Bernoulli, 0), InlineData(FamilyKind.Categorical, 0), InlineData(FamilyKind.Bernoulli, 1), InlineData(FamilyKind.Categorical, 2)]
    public void Guided_tokens_follow_the_law_of_the_heads_formula(FamilyKind family, int layer)
    {
        using SharedTrunkGuide guide = SharedHeads.NewGuide(_reference, Family(family), 3, layer);
        using FusedGuidance fused = new(_ops);
        using Sampler sampler = new(_reference, guide, fused, SamplerRig.Shape, []);
        GuidanceRule rule = new(Tilt.LogMeanExp, guide.Settings.Family, 4, Outside.Min, Temperature: 0.8f);
        SampleBatch batch = NewBatch(SamplerRig.Rows);
        SamplerRig.Draw(sampler, batch, rule);
        int checkedTokens = 0;
        for (int row = 0; row < SamplerRig.Rows; row++)
        {
            for (int t = 0; t < batch.ResponseLengths[row]; t++, checkedTokens++)
            {
                int[] prefix = [.. SamplerRig.Prompt(row), .. batch.Response(row)[..t]];
                double[] logits = TestModels.Outputs(_reference, prefix, 0, prefix.Length - 1, 0);
                int[] candidates = [.. Enumerable.Range(0, Vocab).OrderByDescending(token => logits[token]).Take(SamplerRig.Candidates)];
                float[] state = TestModels.Hidden(_reference, prefix, layer: layer)[^_reference.Config.Width..];
                GuidedStep step = GuidedStep.Of(
                    rule, logits, candidates, [.. candidates.Select(token => SharedHeads.Formula(guide, state, token))], double.NaN, SamplerRig.Key, SamplerRig.Stream(row), t);
                if (step.Gap <= 1e-3) break;   // a tie to rounding: what follows has no oracle
                Assert.Equal(step.Next, batch.Response(row)[t]);
                Assert.Equal(step.Statistics[SampleStatistics.LogPolicy], SamplerRig.Statistics(batch, row, t)[SampleStatistics.LogPolicy], 1e-3);
                Assert.Equal(step.Statistics[SampleStatistics.Kl], SamplerRig.Statistics(batch, row, t)[SampleStatistics.Kl], 1e-3);
            }
        }
        Assert.True(checkedTokens > 20, $"Only {checkedTokens} tokens were checked.");
    }

    [Theory, MemberData(nameof(Families))]
    public void Fused_and_naive_guidance_agree_and_a_row_does_not_depend_on_its_batch(FamilyKind family)
    {
        using SharedTrunkGuide guide = SharedHeads.NewGuide(_reference, Family(family), 3);
        using Guidance fused = new FusedGuidance(_ops), naive = new NaiveGuidance(_ops);
        GuidanceRule rule = new(Tilt.LogMeanExp, guide.Settings.Family, 4, Outside.Martingale, TopP: 0.9f);
        SampleBatch a = Draw(guide, fused, rule, SamplerRig.Rows), b = Draw(guide, naive, rule, SamplerRig.Rows), few = Draw(guide, fused, rule, 2);
        for (int row = 0; row < SamplerRig.Rows; row++) SamplerRig.AssertSame("naive", a, row, b, row, 1e-4);
        for (int row = 0; row < 2; row++) SamplerRig.AssertSame("another batch", a, row, few, row, 1e-4);
    }

    /// <summary>What is learned against the standardised table is the same head against the embeddings as they are.</summary>
    [Theory, MemberData(nameof(Families))]
    public void Folding_changes_no_logit(FamilyKind family)
    {
        SharedHeadShape shape = new(_reference.Config.Width, Hidden, Family(family).Atoms);
        int[] tokens = [5, 0, 36, 5, 17];
        using TokenTable table = new(_reference.Weights.Tokens, tokens);
        ((SharedHeadWeights learned, SharedHeadWeights folded), DeviceBuffer first) = (
            (Build(shape, out DeviceBuffer one), Build(shape, out DeviceBuffer two)), one);
        using DeviceBuffer second = two, owned = first;
        SharedHeads.Randomize(learned, 8);
        table.Fold(_ops, learned, folded);
        float[] states = [.. Enumerable.Range(0, tokens.Length * shape.Width).Select(i => MathF.Sin(i * 0.7f))];
        float[] expected = Logits(learned, shape, states, table.Rows, [.. tokens.Select(table.IndexOf)]);
        float[] actual = Logits(folded, shape, states, _reference.Weights.Tokens, tokens);
        Assert.Contains(expected, logit => Math.Abs(logit) > 0.1f);
        for (int i = 0; i < expected.Length; i++) Assert.Equal(expected[i], actual[i], 1e-4);
    }

    /// <summary>Stored states are those of a pass over the whole text, also where a roll-in was cut and continued.</summary>
    [Theory, InlineData(RollIn.None, 0), InlineData(RollIn.Policy, 0), InlineData(RollIn.None, 2), InlineData(RollIn.Policy, 1)]
    public void Collected_hidden_states_are_those_the_tokens_were_drawn_from(RollIn rollIn, int layer)
    {
        StarGraphTask task = new(StarGraphRecipe.For(2, 3, 9).Graph);
        using LanguageModel reference = TestModels.Language(_ops, TestModels.Config("gpt2-untied", task.Vocabulary), 4);
        CollectSettings settings = new(2, rollIn, GuidanceRule.Reference(1, 1), 1, 5, BatchRows: 7, Candidates: 3, HiddenLayer: layer);
        using RolloutCollector collector = new(task, reference, null, settings, 9);
        int width = reference.Config.Width, rollouts = 0;
        collector.Run(0, 20, (batch, hidden) =>
        {
            int at = 0;
            foreach (Rollout rollout in batch)
            {
                float[] whole = TestModels.Hidden(reference, rollout.Tokens, layer: layer);
                for (int t = rollout.PromptLength; t < rollout.Tokens.Length; t++, at += width)
                    for (int c = 0; c < width; c++) Assert.Equal(whole[(t - 1) * width + c], (float)hidden[at + c], 2e-3 * Math.Max(1, Math.Abs(whole[(t - 1) * width + c])));
                rollouts++;
            }
            Assert.Equal(hidden.Length, at);
        }, new SilentProgress(), CancellationToken.None);
        Assert.Equal(20, rollouts);
    }

    [Fact]
    public void States_come_back_a_torn_tail_is_cut_and_damage_is_named()
    {
        const int Width = 5;
        string path = _folder["hidden.bin"];
        Half[] states = [.. Enumerable.Range(0, 4 * Width).Select(i => (Half)(i / 8f))];
        using (FileStream file = HiddenFile.Append(path, Width, 0)) HiddenFile.Write(file, states, Width);
        File.AppendAllText(path, "a torn row");
        using (FileStream file = HiddenFile.Append(path, Width, 3)) HiddenFile.Write(file, states.AsSpan(0, Width), Width);
        Assert.Equal(64 + 4 * HiddenFile.RowBytes(Width), new FileInfo(path).Length);
        float[] row = new float[Width];
        using (HiddenReader reader = new([new HiddenPart(path, 4)], Width))
        {
            reader.Read(2, row);
            Assert.Equal(states[10..15].Select(half => (float)half), row);
            reader.Read(3, row);
            Assert.Equal(states[..5].Select(half => (float)half), row);
        }
        Assert.Contains("fewer hidden states", Assert.Throws<UserException>(() => new HiddenReader([new HiddenPart(path, 5)], Width)).Message);
        Assert.Contains("fewer hidden states", Assert.Throws<UserException>(() => HiddenFile.Append(path, Width, 5)).Message);
        Assert.Contains("width 6", Assert.Throws<UserException>(() => new HiddenReader([new HiddenPart(path, 1)], 6)).Message);
        byte[] bytes = File.ReadAllBytes(path);
        bytes[64 + HiddenFile.RowBytes(Width) + 7] ^= 1;
        File.WriteAllBytes(path, bytes);
        using HiddenReader damaged = new([new HiddenPart(path, 4)], Width);
        damaged.Read(0, row);
        Assert.Contains("hidden state 1 is damaged", Assert.Throws<UserException>(() => damaged.Read(1, row)).Message);
    }

    /// <summary>
    /// The whole way on a task whose answer the state tells: reward 1 for one of the tokens. The guide learns it, foretells the
    /// problems held out, and steers π_ref there. A run that is stopped and resumed has the same bits.
    /// </summary>
    [Fact]
    public void A_head_learns_which_tokens_are_rewarded_and_steers_towards_them()
    {
        RolloutData data = Collect(good: token => token % 3 == 0);
        Learned whole = Train(data, steps: 300, stopAt: 0, "whole"), resumed = Train(data, steps: 300, stopAt: 130, "resumed");
        Assert.Equal(whole.Values, resumed.Values);
        Assert.True(whole.Report.Loss < 0.5 * whole.Report.ConstantLoss, $"The loss is {whole.Report.Loss}, that of a constant {whole.Report.ConstantLoss}.");
        Assert.True(whole.Report.Auc > 0.95, $"AUC {whole.Report.Auc}.");
        using SharedTrunkGuide guide = whole.Guide;
        resumed.Guide.Dispose();
        using FusedGuidance fused = new(_ops);
        SampleBatch guided = Draw(guide, fused, new GuidanceRule(Tilt.LogMeanExp, ReturnFamily.Bernoulli, 20, Outside.Min), SamplerRig.Rows, candidates: Vocab);
        SampleBatch plain = Draw(guide, fused, GuidanceRule.Reference(1, 1), SamplerRig.Rows, candidates: Vocab);
        Assert.True(GoodShare(guided) > 0.9, $"Guided: {GoodShare(guided)}.");
        Assert.True(GoodShare(plain) < 0.7, $"Unguided: {GoodShare(plain)}.");
    }

    [Fact]
    public void A_folder_brings_the_guide_back_bit_for_bit_and_only_to_its_reference()
    {
        using SharedTrunkGuide random = SharedHeads.NewGuide(_reference, Family(FamilyKind.Categorical), 3);
        using SharedTrunkGuide guide = new(_reference, random.Settings.Family, Hidden, layer: 1) { Settings = random.Settings with { Target = ValueTarget.Exponential, Eta = 0.3 } };
        Initializer.CopyShared(_ops, random.Weights, guide.Weights);
        GuideOrigin origin = new("text,tokenizer=x", ModelFolder.Fingerprint(_reference), 0.7f, 1);
        GuideFolder.Save(guide, _folder["guide"], origin);
        Assert.True(new FileInfo(_folder["guide", "model.safetensors"]).Length < 5 * (guide.ParameterCount + 1000));
        (IGuide loaded, GuideOrigin read) = GuideFolder.Load(_reference, _folder["guide"], origin.Task, Vocab);
        using SharedTrunkGuide back = Assert.IsType<SharedTrunkGuide>(loaded);
        Assert.Equal(origin, read);
        Assert.Equal(guide.Settings, back.Settings);
        Assert.Equal(1, back.ReferenceLayer);
        Assert.Equal(Values(guide.Weights), Values(back.Weights));
        using LanguageModel other = TestModels.Language(_ops, _reference.Config, 12);
        Assert.Contains("another reference", Assert.Throws<UserException>(() => GuideFolder.Load(other, _folder["guide"], origin.Task, Vocab)).Message);
        Assert.Contains("another task", Assert.Throws<UserException>(() => GuideFolder.Load(_reference, _folder["guide"], "another task", Vocab)).Message);
    }

    private static ReturnFamily Family(FamilyKind kind) => kind == FamilyKind.Bernoulli ? ReturnFamily.Bernoulli : ReturnFamily.Categorical(-0.5f, 1, 7);

    private SharedHeadWeights Build(SharedHeadShape shape, out DeviceBuffer memory)
    {
        (SharedHeadWeights weights, memory) = Arena.Build(_device, arena => new SharedHeadWeights(shape, DType.F32, arena));
        return weights;
    }

    private float[] Logits(SharedHeadWeights weights, SharedHeadShape shape, float[] states, Tensor table, int[] tokens)
    {
        ((SharedHeadBuffers buffers, Tensor hidden, Tensor ids, Tensor outputs), DeviceBuffer memory) = Arena.Build(_device, arena => (
            new SharedHeadBuffers(shape, tokens.Length, DType.F32, arena), arena.Take((tokens.Length, shape.Width)),
            arena.Take(tokens.Length, DType.I32), arena.Take((tokens.Length, shape.Atoms))));
        using (memory)
        {
            states.CopyTo(hidden.Span<float>());
            tokens.CopyTo(ids.Span<int>());
            new SharedHead(_ops, weights).Forward(hidden, table, ids, buffers, outputs);
            return outputs.Span<float>().ToArray();
        }
    }

    private static SampleBatch NewBatch(int rows)
    {
        SampleBatch batch = new(rows, SamplerRig.PromptTokens, SamplerRig.NewTokens);
        for (int row = 0; row < rows; row++) batch.Add(SamplerRig.Prompt(row), SamplerRig.Limit(row), SamplerRig.Stream(row));
        return batch;
    }

    private SampleBatch Draw(SharedTrunkGuide guide, Guidance guidance, GuidanceRule rule, int rows, int candidates = SamplerRig.Candidates)
    {
        using Sampler sampler = new(_reference, guide, guidance, SamplerRig.Shape with { Rows = rows, Candidates = candidates }, []);
        SampleBatch batch = NewBatch(rows);
        SamplerRig.Draw(sampler, batch, rule);
        return batch;
    }

    /// <summary>Responses of one token each, rewarded by that token, with the states they were drawn from.</summary>
    private RolloutData Collect(Func<int, bool> good)
    {
        const int Count = 600;
        PhiloxStream random = new(77);
        List<Rollout> rollouts = [];
        string path = _folder["states.bin"];
        using (FileStream file = HiddenFile.Append(path, _reference.Config.Width, 0))
        {
            for (int i = 0; i < Count; i++)
            {
                int[] tokens = [.. TestModels.RandomTokens((ulong)i, 4, Vocab), random.NextInt(Vocab)];
                rollouts.Add(new Rollout(i, i, 1, tokens, 4, 0, 0, good(tokens[4]) ? 1 : 0));
                float[] state = TestModels.Hidden(_reference, tokens[..4])[^_reference.Config.Width..];
                HiddenFile.Write(file, [.. state.Select(x => (Half)x)], _reference.Config.Width);
            }
        }
        return new RolloutData(rollouts[..500], rollouts[500..], 1, 1, [new HiddenPart(path, Count)], [.. Enumerable.Range(0, Count).Select(i => (long)i)]);
    }

    private Learned Train(RolloutData data, int steps, int stopAt, string name)
    {
        SharedTrunkGuide guide = new(_reference, ReturnFamily.Bernoulli, Hidden);
        RunFolder folder = RunFolder.Open(_folder[name], "train", ExistingFolder.Refuse, []);
        using MetricsLog metrics = new(folder);
        if (stopAt > 0)
        {
            using CancellationTokenSource source = new();
            Assert.Throws<OperationCanceledException>(() => Run(new StopAt(stopAt, source), source.Token));
        }
        return Run(new SilentProgress(), CancellationToken.None);

        Learned Run(IProgressSink progress, CancellationToken stop)
        {
            SharedHeadLearner learner = new(
                guide, new QSharpMethod(ReturnFamily.Bernoulli), new HiddenReader(data.Hidden!, _reference.Config.Width),
                new HiddenSource(data.Train, data.FirstStates, 5), new HiddenSource(data.HeldOut, data.FirstStates, 5),
                new OptimizerSettings(new LearningRate(0.01f, 10, steps, FinalShare: 0)), 6, rows: 64);
            using Trainer trainer = new(learner) { HeldOut = new HeldOut(learner, ReturnFamily.Bernoulli) };
            new TrainingRun(trainer, "guide", folder.File("checkpoints"), "x", metrics).Run(steps, progress, stop);
            learner.Finish();
            return new Learned(guide, trainer.HeldOut.Report(), Values(guide.Weights));
        }
    }

    private static double GoodShare(SampleBatch batch) =>
        Enumerable.Range(0, batch.Count).SelectMany(row => batch.Response(row).ToArray()).Average(token => token % 3 == 0 ? 1.0 : 0);

    private static float[] Values(Parameters parameters) => [.. parameters.Named.SelectMany(each => each.Value.Span<float>().ToArray())];

    private sealed record Learned(SharedTrunkGuide Guide, HeldOutReport Report, float[] Values);

    /// <summary>Interrupts a run when it reports a step.</summary>
    private sealed class StopAt(long step, CancellationTokenSource source) : IProgressSink
    {
        public void Start(string phase, long total)
        {
        }

        public void Report(long done, ReadOnlySpan<(string Name, double Value)> figures)
        {
            if (done == step) source.Cancel();
        }

        public void Finish(string summary)
        {
        }

        public void Note(string text)
        {
        }
    }
}
