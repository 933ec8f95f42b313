using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>A data set that several processes collect, each its own part; and the choices at the cut of a roll-in.</summary>
public sealed class ShardTests : IDisposable
{
    private const int Samples = 3, Total = 50;
    private const ulong Seed = 21;

    private readonly TemporaryFolder _folder = new();
    private readonly CpuDevice _device = new(1);
    private readonly Experiment _experiment;
    private readonly LanguageModel _reference;

    public ShardTests()
    {
        Ops ops = Ops.For(_device);
        TreeTask task = new(width: 4, depth: 3, leaf => leaf % 2);
        _experiment = new Experiment(ops, task, StarGraphRecipe.For(2, 3).Guide, Seed, 8, new SilentProgress(), CancellationToken.None);
        _reference = TestModels.Language(ops, TransformerConfig.Gpt2(1, 16, 2, task.Vocabulary, context: 8, tiedHead: false), 1);
    }

    [Theory, InlineData(1), InlineData(3)]
    public void Every_sample_is_in_one_shard(int perProblem)
    {
        foreach (int count in new[] { 1, 2, 5 })
        {
            for (long total = 0; total < 40; total++)
            {
                IEnumerable<long> all = Enumerable.Range(0, count).Select(index => new Shard(index, count))
                    .SelectMany(shard => Enumerable.Range(0, (int)shard.Samples(total, perProblem)).Select(ordinal => shard.Sample(ordinal, perProblem)));
                Assert.Equal(Enumerable.Range(0, (int)total).Select(i => (long)i), all.Order());
            }
        }
        Assert.Equal(new Shard(1, 3), Shard.Parse("2/3"));
        Assert.All(new[] { "0/2", "3/2", "1", "a/b", "1/2/3" }, text => Assert.Null(Shard.Parse(text)));
    }

    [Fact]
    public void Shards_are_together_the_data_set_that_one_process_makes()
    {
        string whole = _folder["whole"], parts = _folder["parts"];
        Collect(whole, Shard.Whole);
        Collect(parts, new Shard(1, 2));
        byte[] second = File.ReadAllBytes(RolloutSet.DataPath(parts, new Shard(1, 2)));
        File.WriteAllBytes(RolloutSet.DataPath(parts, new Shard(1, 2)), second[..(second.Length / 2)]);   // its process died
        Collect(parts, new Shard(0, 2));
        Collect(parts, new Shard(1, 2));
        Assert.Equal(second, File.ReadAllBytes(RolloutSet.DataPath(parts, new Shard(1, 2))));

        RolloutData a = Load(whole), b = Load(parts);
        Assert.Equal(Total, a.Train.Count);
        Assert.Equal(a.Train.Select(Text), b.Train.Select(Text));
        int width = _reference.Config.Width;
        using HiddenReader ofWhole = new(a.Hidden!, width), ofParts = new(b.Hidden!, width);
        float[] x = new float[width], y = new float[width];
        foreach (Rollout rollout in a.Train)
        {
            for (int t = 0; t < rollout.Tokens.Length - rollout.PromptLength; t++)
            {
                ofWhole.Read(a.FirstStates[rollout.Sample] + t, x);
                ofParts.Read(b.FirstStates[rollout.Sample] + t, y);
                for (int c = 0; c < width; c++) Assert.Equal(x[c], y[c], 0.01);
            }
        }
    }

    [Fact]
    public void Shards_that_do_not_belong_together_are_refused()
    {
        string data = _folder["set"];
        Collect(data, new Shard(0, 2));
        using LanguageModel other = TestModels.Language(Ops.For(_device), _reference.Config, 2);
        _experiment.Collect(data, other, null, Settings(new Shard(1, 2)), Total, new PhaseClock());
        Sentence.Assert(Assert.Throws<UserException>(() => Load(data)).Message, data, "shard 2", "another reference");
        File.Delete(Path.Combine(data, "dataset-2-of-2.json"));
        File.Delete(RolloutSet.DataPath(data, new Shard(1, 2)));
        _experiment.Collect(data, _reference, null, Settings(new Shard(1, 2)) with { SamplesPerProblem = 2 }, Total, new PhaseClock());
        Sentence.Assert(Assert.Throws<UserException>(() => Load(data)).Message, data, "shard 2", "other settings");
        File.Move(Path.Combine(data, "dataset-2-of-2.json"), Path.Combine(data, "dataset-2-of-3.json"));
        Sentence.Assert(Assert.Throws<UserException>(() => Load(data)).Message, data, "of 2 and of 3");
    }

    [Fact]
    public void Successes_of_all_prompts_are_stored_whether_they_vary_or_not()
    {
        SuccessCounts counts = Collect(_folder["set"], Shard.Whole);
        List<Rollout> rollouts = RolloutFile.Read(RolloutSet.DataPath(_folder["set"]));
        Assert.Equal((Total + Samples - 1) / Samples, counts.Prompts.Count);
        JsonObject stored = JsonNode.Parse(File.ReadAllText(RolloutSet.CountsPath(_folder["set"])))!.AsObject();
        Assert.Equal(counts.WithoutVariation, (int)stored["without_variation"]!);
        Assert.Equal(rollouts.Sum(rollout => rollout.Reward), stored["counts"]!.AsArray().Sum(each => (double)each![2]!), 1e-6);
        Assert.Equal(counts.Prompts.Where(each => each.Rewards > 0 && each.Rewards < each.Samples).Sum(each => each.Samples), _experiment.LoadRollouts(_folder["set"], _reference, keepNoVariation: false).Train.Count);
    }

    /// <summary>The action at the switch is any one of π_ref's K likeliest, each as often as another.</summary>
    [Fact]
    public void The_action_at_the_switch_may_be_uniform_over_the_likeliest_tokens()
    {
        const int K = 3, Count = 900;
        CollectSettings settings = Settings(Shard.Whole) with { RollIn = RollIn.Policy, SamplesPerProblem = 1, HiddenLayer = null };
        _experiment.Collect(_folder["policy"], _reference, null, settings, Count, new PhaseClock());
        _experiment.Collect(_folder["uniform"], _reference, null, settings with { SwitchTopK = K }, Count, new PhaseClock());
        List<Rollout> policy = RolloutFile.Read(RolloutSet.DataPath(_folder["policy"])), uniform = RolloutFile.Read(RolloutSet.DataPath(_folder["uniform"]));
        int[] ranks = new int[K];
        foreach ((Rollout a, Rollout b) in policy.Zip(uniform))
        {
            int at = b.FirstLossToken;
            Assert.Equal((a.Kept, a.PromptLength), (b.Kept, b.PromptLength));
            Assert.Equal(a.Tokens[..at], b.Tokens[..at]);
            double[] logits = TestModels.Outputs(_reference, b.Tokens[..at], 0, at - 1, 0)[.._experiment.Task.Vocabulary];
            int rank = logits.Count(logit => logit > logits[b.Tokens[at]]);
            Assert.InRange(rank, 0, K - 1);
            ranks[rank]++;
        }
        Assert.All(ranks, count => Assert.InRange(count, Count / K - 70, Count / K + 70));   // five standard deviations
    }

    [Fact]
    public void A_roll_out_may_have_a_limit_of_its_own()
    {
        CollectSettings settings = Settings(Shard.Whole) with { RollIn = RollIn.Policy, RollOutLimit = 2, HiddenLayer = null };
        _experiment.Collect(_folder["set"], _reference, null, settings, Total, new PhaseClock());
        List<Rollout> rollouts = RolloutFile.Read(RolloutSet.DataPath(_folder["set"]));
        int limit = _experiment.Task.ResponseLimit;
        Assert.All(rollouts, rollout => Assert.Equal(rollout.Kept == limit ? limit : rollout.Kept + 2, rollout.Tokens.Length - rollout.PromptLength));
        Assert.Equal(limit, rollouts.Select(rollout => rollout.Kept).Distinct().Count());
    }

    public void Dispose()
    {
        _reference.Dispose();
        _device.Dispose();
        _folder.Dispose();
    }

    private CollectSettings Settings(Shard shard) => _experiment.CollectSettings(1, RollIn.Policy, Samples, 0.1, hiddenLayer: 0) with { Shard = shard };

    private SuccessCounts Collect(string folder, Shard shard) => _experiment.Collect(folder, _reference, null, Settings(shard), Total, new PhaseClock());

    private RolloutData Load(string folder) => _experiment.LoadRollouts(folder, _reference, keepNoVariation: true);

    private static string Text(Rollout rollout) => $"{rollout.Sample} {rollout.Problem} {rollout.Kept} {rollout.Reward} {string.Join(' ', rollout.Tokens)}";
}
