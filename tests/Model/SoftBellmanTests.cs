using System.Runtime.InteropServices;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>A small reference and what it does on a tree with chance.</summary>
public sealed class ChanceRollouts : IDisposable
{
    private const int Count = 4000, Rows = 512;

    private static readonly ChanceTask Task = new();

    private readonly CpuDevice _device = new(1);

    public ChanceRollouts()
    {
        Ops = Ops.For(_device);
        Reference = TestModels.Language(Ops, TransformerConfig.Gpt2(1, 16, 2, ChanceTask.Tokens, 4), 3);
        All = [.. Draw(GuidanceRule.Reference(), null, Count).Select((episode, i) =>
            new Rollout(i, i, 1, [0, .. episode.Tokens], 1, 0, 0, episode.Reward) { Replies = [false, .. episode.Replies] })];
    }

    internal Ops Ops { get; }

    internal LanguageModel Reference { get; }

    internal List<Rollout> All { get; }

    internal List<Episode> Draw(GuidanceRule rule, IGuide? guide, int count)
    {
        using FusedGuidance guidance = new(Ops);
        using EpisodeSampler sampler = new(Task, Reference, guide, guidance, Rows, ChanceTask.Tokens);
        List<Episode> episodes = [];
        while (episodes.Count < count)
            episodes.AddRange(sampler.Run(Task.TestProblems(0, Math.Min(Rows, count - episodes.Count)), episodes.Count, rule, 77, CancellationToken.None));
        return episodes;
    }

    public void Dispose()
    {
        Reference.Dispose();
        _device.Dispose();
    }
}

/// <summary>Q♯ by temporal differences on a tree with chance, beside the law of the return on the same roll-outs.</summary>
public sealed class SoftBellmanTests(ChanceRollouts rollouts) : IClassFixture<ChanceRollouts>, IDisposable
{
    private const double Eta = 0.15;
    private const int Steps = 500;

    private static readonly ValueSettings Settings = new(HeadKind.Q, ReturnFamily.Categorical(0, 1, 11), BidirectionalPrompt: false);

    private readonly TemporaryFolder _folder = new();

    [Fact]
    public void Soft_values_come_to_the_optimum_and_the_law_of_the_return_is_too_hopeful_by_the_known_amount()
    {
        double optimum = ChanceTask.Value(rollouts.Reference, Eta, isNaive: false), naive = ChanceTask.Value(rollouts.Reference, Eta, isNaive: true);
        Assert.True(naive - optimum > 0.08, $"{naive} and {optimum} are too close to be told apart.");
        (double predicted, double achieved) = Learned(isSoft: true);
        Assert.Equal(optimum, predicted, 0.02);
        Assert.Equal(optimum, achieved, 0.02);
        (double hoped, double had) = Learned(isSoft: false);
        Assert.Equal(naive, hoped, 0.02);
        Assert.InRange(had, 0, optimum - 0.03);
    }

    [Theory, InlineData(false), InlineData(true)]
    public void The_environment_is_not_tilted(bool isGuided)
    {
        using ValueModel guide = TestModels.Value(rollouts.Ops, rollouts.Reference.Config, Settings, 5);
        foreach (IGrouping<int, Episode> of in rollouts.Draw(isGuided ? Rule(Tilt.Mean) : GuidanceRule.Reference(), guide, 3000).GroupBy(episode => episode.Tokens[0]))
        {
            double chance = of.Key switch { 1 => 0.9, 2 => 0.3, _ => 0.5 }, heads = of.Average(episode => episode.Tokens[1] == ChanceTask.Heads ? 1 : 0);
            Assert.InRange(heads, chance - 4.5 * Math.Sqrt(0.25 / of.Count()), chance + 4.5 * Math.Sqrt(0.25 / of.Count()));
            Assert.All(of, episode => Assert.Equal([false, true, false], episode.Replies));
        }
    }

    [Fact]
    public void An_environments_tokens_bear_no_loss_and_keep_their_mark_on_disk()
    {
        string path = _folder["rollouts.bin"];
        using (RolloutFile file = RolloutFile.Append(path)) file.Write([rollouts.All[0], rollouts.All[1] with { Replies = null }]);
        List<Rollout> read = RolloutFile.Read(path);
        Assert.Equal(rollouts.All[0].Tokens, read[0].Tokens);
        Assert.Equal([false, false, true, false], read[0].Replies!);
        Assert.Null(read[1].Replies);

        RolloutRows rows = new(read, Settings);
        (TrainBatch batch, DeviceBuffer memory) = Arena.Build(rollouts.Ops.Device, arena => new TrainBatch(2, rows.Time, rows.LossesPerRow, arena));
        using (memory)
        {
            rows.Fill(0, 2, batch);
            Assert.Equal([(0, 2), (2, 3)], [batch.LossesOf(0), batch.LossesOf(1)]);
            batch.Upload(rollouts.Ops.Device);
            Assert.Equal([read[0].Tokens[1], read[0].Tokens[3], .. read[1].Tokens[1..]], batch.Targets.Tokens.Span<int>()[..5].ToArray());
            Assert.Equal([0, 2, 4, 5, 6], batch.LossRows.Span<int>()[..5].ToArray());
            Assert.Equal([0.25f, 0.25f], batch.LossWeights[..2].ToArray());
        }
    }

    [Fact]
    public void A_run_that_was_saved_and_resumed_has_the_bits_of_one_that_never_stopped()
    {
        const int steps = 2 * SoftBellmanLearner.CopyEvery + 5;
        using ValueModel straight = Guide(), other = Guide();
        using (Trainer trainer = new(Learner(straight, isSoft: true))) Run(trainer, steps);
        using (Trainer first = new(Learner(other, isSoft: true)))
        {
            Run(first, SoftBellmanLearner.CopyEvery);
            Assert.True(first.IsBetweenSamples);
            TrainerCheckpoint.Save(first, _folder.Path, "settings");
        }
        using ValueModel resumed = Guide();
        using (Trainer trainer = new(Learner(resumed, isSoft: true)))
        {
            Run(trainer, 3);   // whatever it starts from must be overwritten
            Assert.True(TrainerCheckpoint.LoadNewest(trainer, _folder.Path, "settings"));
            Run(trainer, steps);
        }
        Assert.True(MemoryMarshal.AsBytes(straight.Weights.All.Span<float>()).SequenceEqual(MemoryMarshal.AsBytes(resumed.Weights.All.Span<float>())));
    }

    /// <summary>As many losses as do not divide into the parts, and a reference whose last ids no text has.</summary>
    [Fact]
    public void Soft_values_are_the_same_in_parts_of_any_size_and_whatever_the_reference_says_of_ids_that_cannot_come()
    {
        const int Ids = ChanceTask.Tokens, Padded = Ids + 3;
        using ValueModel guide = TestModels.Value(rollouts.Ops, rollouts.Reference.Config with { Vocab = Padded }, Settings, 4);
        using LanguageModel padded = new(rollouts.Ops, guide.Config);
        foreach (((string name, Tensor to, _), (_, Tensor from, _)) in padded.Weights.Named.Zip(rollouts.Reference.Weights.Named))
        {
            Span<float> values = to.Span<float>();
            from.Span<float>().CopyTo(values);
            if (name == "tokens") from.Span<float>()[..(3 * from.Shape.D1)].CopyTo(values[(Ids * from.Shape.D1)..]);   // as likely as the first three
        }
        float[] whole = SoftValues(rollouts.Reference, 1 << 20), parted = SoftValues(rollouts.Reference, 4 * Ids), wide = SoftValues(padded, 1 << 20);
        Assert.NotEqual(0, whole.Length % 4);
        Assert.Equal(whole, parted);
        Assert.Equal(whole, wide);

        float[] SoftValues(LanguageModel reference, int logitsAtOnce)
        {
            using SoftBellmanLearner learner = new(
                reference, guide, new QSharpMethod(Settings.Family), Rule(Tilt.Mean), Padded, Ids, new RolloutSource(rollouts.All, Settings, 1),
                new OptimizerSettings(new LearningRate(1e-2f, 0, Steps)), 5, logitsAtOnce);
            learner.Fill(1);
            return learner.Batch.LossReturns.ToArray();
        }
    }

    public void Dispose() => _folder.Dispose();

    private static GuidanceRule Rule(Tilt tilt) => new(tilt, Settings.Family, (float)(1 / Eta), Outside.Truncate);

    private ValueModel Guide() => TestModels.Value(rollouts.Ops, rollouts.Reference.Config, Settings, 4);

    private ModelLearner Learner(ValueModel guide, bool isSoft)
    {
        RolloutSource source = new(rollouts.All, Settings, 1);
        OptimizerSettings settings = new(new LearningRate(1e-2f, 20, Steps, 0.01f));
        return isSoft
            ? new SoftBellmanLearner(rollouts.Reference, guide, new QSharpMethod(Settings.Family), Rule(Tilt.Mean), ChanceTask.Tokens, ChanceTask.Tokens, source, settings, 64)
            : new ModelLearner(guide, new QSharpMethod(Settings.Family), source, settings, 64);
    }

    private static void Run(Trainer trainer, int steps) => trainer.Run(steps, "guide", new SilentProgress(), (_, _) => { }, CancellationToken.None);

    /// <summary>What a learned guide says that the prompt is worth, and what it has from it.</summary>
    private (double Predicted, double Achieved) Learned(bool isSoft)
    {
        using ValueModel guide = Guide();
        using (Trainer trainer = new(Learner(guide, isSoft))) Run(trainer, Steps);
        List<Episode> episodes = rollouts.Draw(Rule(isSoft ? Tilt.Mean : Tilt.LogMeanExp), guide, 4000);
        return (Eta * episodes[0].LogNormalizer, episodes.Average(episode => episode.Reward - Eta * episode.Kl));
    }
}
