using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Collecting roll-outs with tiny random models: what is kept, which tokens bear loss, and that only (seed, round, index) matter.</summary>
public sealed class RolloutCollectorTests : IDisposable
{
    private const ulong Seed = 11, ProblemKey = 77;
    private const int Length = 3, Count = 1500;

    private static readonly GuidanceRule _guided = new(Tilt.LogMeanExp, ReturnFamily.Bernoulli, 5, Outside.Truncate);

    private readonly StarGraphRecipe _recipe;
    private readonly StarGraphTask _task;
    private readonly Device _device = new CpuDevice(1);
    private readonly Ops _ops;
    private readonly LanguageModel _reference;
    private readonly ValueModel _guide;

    public RolloutCollectorTests()
    {
        StarGraphRecipe recipe = StarGraphRecipe.For(2, Length, 9);
        TransformerConfig model = recipe.Reference.Model;
        _recipe = recipe with { Reference = recipe.Reference with { Model = TransformerConfig.Gpt2(1, 16, 2, model.Vocab, model.Context, tiedHead: false) } };
        _task = new StarGraphTask(_recipe.Graph);
        _ops = Ops.For(_device);
        _reference = new LanguageModel(_ops, _recipe.Reference.Model);
        Initializer.Fresh(_reference.Weights, _recipe.Reference.Model, 1);
        _guide = new ValueModel(_ops, _recipe.Reference.Model, _recipe.Guide.Settings);
        Initializer.Fresh(_guide.Weights, _recipe.Reference.Model, 2);
    }

    public void Dispose()
    {
        _guide.Dispose();
        _reference.Dispose();
        _device.Dispose();
    }

    [Fact]
    public void Without_a_roll_in_the_whole_response_bears_loss()
    {
        List<Rollout> rollouts = Collect(RollIn.None, 0, 60, samplesPerProblem: 4);
        for (int i = 0; i < rollouts.Count; i++)
        {
            Rollout rollout = rollouts[i];
            AssertSound(rollout, i, 4);
            Assert.Equal(0, rollout.Kept);
            Assert.Equal(_task.PromptLimit, rollout.FirstLossToken);
        }
        Assert.True(rollouts.Select(rollout => string.Join(' ', rollout.Tokens)).Distinct().Count() > 50);
    }

    [Fact]
    public void With_a_roll_in_the_cut_is_uniform_and_the_last_kept_token_bears_loss()
    {
        List<Rollout> whole = Collect(RollIn.None, 0, Count), cut = Collect(RollIn.Policy, 0, Count);
        int[] kept = new int[Length + 1];
        int continuedOtherwise = 0;
        for (int i = 0; i < Count; i++)
        {
            Rollout rollout = cut[i];
            AssertSound(rollout, i, 1);
            Assert.InRange(rollout.Kept, 1, Length);
            kept[rollout.Kept]++;
            Assert.Equal(rollout.PromptLength + rollout.Kept - 1, rollout.FirstLossToken);

            // The roll-in draws as a run without one does; what is kept of it stands, and all of it where all was kept.
            int stands = rollout.PromptLength + rollout.Kept;
            Assert.Equal(whole[i].Tokens.Take(stands), rollout.Tokens.Take(stands));
            if (!whole[i].Tokens.AsSpan(stands).SequenceEqual(rollout.Tokens.AsSpan(stands))) continuedOtherwise++;
        }
        double expected = (double)Count / Length, deviation = Math.Sqrt(expected * (1 - 1.0 / Length));
        for (int k = 1; k <= Length; k++) Assert.InRange(kept[k], expected - 5 * deviation, expected + 5 * deviation);
        Assert.True(continuedOtherwise > Count / 3, $"{continuedOtherwise} of {Count} continued otherwise");
    }

    [Theory]
    [InlineData(RollIn.None, false)]
    [InlineData(RollIn.Policy, false)]
    [InlineData(RollIn.Policy, true)]
    public void Neither_the_batch_nor_an_interruption_changes_a_sample(RollIn rollIn, bool guided)
    {
        List<Rollout> all = Collect(rollIn, 0, 90, rows: 90, guided: guided);
        foreach (int rows in new[] { 1, 7, 32 })
            AssertSame(all, Collect(rollIn, 0, 90, rows: rows, guided: guided));
        AssertSame(all, [.. Collect(rollIn, 0, 41, rows: 16, guided: guided), .. Collect(rollIn, 41, 90, rows: 64, guided: guided)]);
    }

    [Fact]
    public void Seed_and_round_change_the_samples_and_the_problems_stay()
    {
        List<Rollout> first = Collect(RollIn.Policy, 0, 40), second = Collect(RollIn.Policy, 0, 40, round: 2), other = Collect(RollIn.Policy, 0, 40, seed: Seed + 1);
        foreach (List<Rollout> rollouts in new[] { second, other })
        {
            Assert.Equal(first.Select(Prompt), rollouts.Select(Prompt));
            Assert.NotEqual(first.Select(Response), rollouts.Select(Response));
        }
        Assert.NotEqual(second.Select(Response), other.Select(Response));
    }

    [Fact]
    public void A_guided_roll_in_is_drawn_by_the_guide()
    {
        List<Rollout> plain = Collect(RollIn.None, 0, 200), guided = Collect(RollIn.None, 0, 200, guided: true);
        Assert.All(plain, rollout => Assert.Equal(0, rollout.Lambda));
        Assert.All(guided, rollout => Assert.Equal(5, rollout.Lambda));
        Assert.NotEqual(plain.Select(Response), guided.Select(Response));
    }

    [Fact]
    public void A_second_round_is_appended_to_the_first()
    {
        using TemporaryFolder folder = new();
        Experiment experiment = NewExperiment();
        PhaseClock clock = new();
        CollectSettings first = experiment.CollectSettings(1, RollIn.Policy, 1, 0.1, hiddenLayer: null), second = experiment.CollectSettings(2, RollIn.Policy, 1, 0.1, hiddenLayer: null);
        Assert.Equal((false, true), (first.Rule.IsGuided, second.Rule.IsGuided));
        Assert.Equal(RollIn.Policy, experiment.CollectSettings(2, RollIn.None, 1, 0.1, hiddenLayer: null).RollIn);   // π_ref's value, not the guided policy's
        string data = folder["set"], path = RolloutSet.DataPath(data);
        experiment.Collect(data, _reference, null, first, 40, clock);
        byte[] round1 = File.ReadAllBytes(path);
        experiment.Collect(data, _reference, null, first, 40, clock);   // nothing to do
        Assert.Equal(round1, File.ReadAllBytes(path));

        // Stopped in the middle of a record of round 2, and gone on.
        experiment.Collect(data, _reference, _guide, second, 80, clock);
        byte[] both = File.ReadAllBytes(path);
        File.WriteAllBytes(path, both[..(round1.Length + (both.Length - round1.Length) / 3)]);
        experiment.Collect(data, _reference, _guide, second, 80, clock);
        Assert.Equal(both, File.ReadAllBytes(path));
        Assert.Equal(round1, both[..round1.Length]);

        List<Rollout> rollouts = RolloutFile.Read(path);
        Assert.Equal(Enumerable.Range(0, 80).Select(i => ((long)i, i < 40 ? 1 : 2, i < 40 ? 0f : 10f)), rollouts.Select(rollout => (rollout.Sample, rollout.Round, rollout.Lambda)));
        Assert.All(rollouts, rollout => Assert.InRange(rollout.Kept, 1, Length));
    }

    [Fact]
    public void Data_collected_with_other_settings_is_not_extended()
    {
        using TemporaryFolder folder = new();
        Experiment experiment = NewExperiment();
        experiment.Collect(folder["set"], _reference, null, experiment.CollectSettings(1, RollIn.Policy, 1, 0.1, hiddenLayer: null), 10, new PhaseClock());
        byte[] before = File.ReadAllBytes(RolloutSet.DataPath(folder["set"]));
        UserException refusal = Assert.Throws<UserException>(() =>
            experiment.Collect(folder["set"], _reference, null, experiment.CollectSettings(1, RollIn.Policy, 2, 0.1, hiddenLayer: null), 20, new PhaseClock()));
        Sentence.Assert(refusal.Message, folder["set"]);
        using LanguageModel other = new(_ops, _recipe.Reference.Model);
        Initializer.Fresh(other.Weights, _recipe.Reference.Model, 9);
        refusal = Assert.Throws<UserException>(() =>
            experiment.Collect(folder["set"], other, null, experiment.CollectSettings(1, RollIn.Policy, 1, 0.1, hiddenLayer: null), 20, new PhaseClock()));
        Sentence.Assert(refusal.Message, folder["set"], "another reference");
        Assert.Equal(before, File.ReadAllBytes(RolloutSet.DataPath(folder["set"])));
    }

    [Fact]
    public void Stopping_leaves_whole_samples_in_their_order()
    {
        using CancellationTokenSource stop = new();
        using RolloutCollector collector = new(_task, _reference, null, Settings(RollIn.None, 1, 10, GuidanceRule.Reference(), 1, Seed), ProblemKey);
        List<Rollout> done = [];
        Assert.Throws<OperationCanceledException>(() => collector.Run(0, 100, (batch, _) =>
        {
            done.AddRange(batch);
            if (done.Count >= 30) stop.Cancel();
        }, new SilentProgress(), stop.Token));
        Assert.InRange(done.Count, 30, 50);
        AssertSame(Collect(RollIn.None, 0, done.Count), done);
    }

    /// <summary>A roll-in of one token is whole where it is cut, so that no roll-out follows.</summary>
    [Fact]
    public void Responses_that_need_no_roll_out_are_handed_on_as_they_come()
    {
        TreeTask task = new(width: _task.Vocabulary, depth: 1, leaf => leaf % 2);
        using CancellationTokenSource stop = new();
        using RolloutCollector collector = new(task, _reference, null, Settings(RollIn.Policy, 1, 10, GuidanceRule.Reference(), 1, Seed), ProblemKey);
        List<Rollout> done = [];
        Assert.Throws<OperationCanceledException>(() => collector.Run(0, 1000, (batch, _) =>
        {
            done.AddRange(batch);
            if (done.Count >= 30) stop.Cancel();
        }, new SilentProgress(), stop.Token));
        Assert.InRange(done.Count, 30, 50);
        Assert.Equal(Enumerable.Range(0, done.Count), done.Select(rollout => (int)rollout.Sample));
    }

    private Experiment NewExperiment() => new(_ops, _task, _recipe.Guide, Seed, 64, new SilentProgress(), CancellationToken.None);

    private static string Prompt(Rollout rollout) => string.Join(' ', rollout.Tokens.Take(rollout.PromptLength));

    private static string Response(Rollout rollout) => string.Join(' ', rollout.Tokens.Skip(rollout.PromptLength));

    private static CollectSettings Settings(RollIn rollIn, int samplesPerProblem, int rows, GuidanceRule rule, int round, ulong seed) =>
        new(samplesPerProblem, rollIn, rule, round, seed, rows, Candidates: 3);

    private List<Rollout> Collect(RollIn rollIn, long from, long to, int samplesPerProblem = 1, int rows = 64, bool guided = false, int round = 1, ulong seed = Seed)
    {
        GuidanceRule rule = guided ? _guided : GuidanceRule.Reference();
        using RolloutCollector collector = new(_task, _reference, guided ? _guide : null, Settings(rollIn, samplesPerProblem, rows, rule, round, seed), ProblemKey);
        List<Rollout> rollouts = [];
        collector.Run(from, to, (batch, _) => rollouts.AddRange(batch), new SilentProgress(), CancellationToken.None);
        return rollouts;
    }

    private void AssertSound(Rollout rollout, int sample, int samplesPerProblem)
    {
        Problem problem = _task.Problem(Split.PostTrain, ProblemKey, sample / samplesPerProblem);
        Assert.Equal((sample, sample / samplesPerProblem, 1), (rollout.Sample, rollout.Problem, rollout.Round));
        Assert.Equal(problem.Prompt, rollout.Tokens.Take(rollout.PromptLength));
        Assert.Equal(Length, rollout.Tokens.Length - rollout.PromptLength);
        Assert.All(rollout.Tokens, token => Assert.InRange(token, 0, _task.Vocabulary - 1));
        Assert.Equal(_task.Reward(problem, rollout.Tokens.AsSpan(rollout.PromptLength)), rollout.Reward);
    }

    private static void AssertSame(List<Rollout> expected, List<Rollout> actual) => Assert.Equal(
        expected.Select(rollout => (rollout.Problem, rollout.Sample, rollout.Round, rollout.Kept, rollout.Lambda, rollout.Reward, string.Join(' ', rollout.Tokens))),
        actual.Select(rollout => (rollout.Problem, rollout.Sample, rollout.Round, rollout.Kept, rollout.Lambda, rollout.Reward, string.Join(' ', rollout.Tokens))));
}
