using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Which roll-outs of a data set are learned from.</summary>
public sealed class LoadRolloutsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly CpuDevice _device = new(1);
    private readonly Experiment _experiment;
    private readonly LanguageModel _reference;

    public LoadRolloutsTests()
    {
        Ops ops = Ops.For(_device);
        StarGraphRecipe recipe = StarGraphRecipe.For(2, 2);
        _experiment = new Experiment(ops, new StarGraphTask(recipe.Graph), recipe.Guide, 1, 64, new SilentProgress(), CancellationToken.None);
        _reference = new LanguageModel(ops, recipe.Reference.Model);
    }

    [Fact]
    public void Problems_whose_samples_all_have_one_reward_are_dropped_unless_asked_for()
    {
        // Problem 0 varies, 1 always succeeds, 2 never does.
        Write(samplesPerProblem: 2, Sample(0, 0, 1), Sample(0, 1, 0), Sample(1, 2, 1), Sample(1, 3, 1), Sample(2, 4, 0), Sample(2, 5, 0));
        Assert.Equal([0, 1], Load(keep: false).Select(rollout => rollout.Sample));
        Assert.Equal(6, Load(keep: true).Count);
        RolloutData data = _experiment.LoadRollouts(_folder.Path, _reference, keepNoVariation: false);
        Assert.Equal((3, 2), (data.Problems, data.DroppedProblems));
    }

    [Fact]
    public void Where_all_would_be_dropped_it_is_said_why()
    {
        Write(samplesPerProblem: 2, Sample(0, 0, 1), Sample(0, 1, 1), Sample(1, 2, 0), Sample(1, 3, 0));
        Sentence.Assert(Assert.Throws<UserException>(() => Load(keep: false)).Message, _folder.Path, "--keep-no-variation");
        Assert.Equal(4, Load(keep: true).Count);
    }

    [Fact]
    public void With_one_sample_a_problem_all_are_kept()
    {
        Write(samplesPerProblem: 1, Sample(0, 0, 1), Sample(1, 1, 0));
        Assert.Equal(2, Load(keep: false).Count);
    }

    [Fact]
    public void A_token_outside_of_the_vocabulary_is_one_sentence()
    {
        int vocabulary = _experiment.Task.Vocabulary;
        Write(samplesPerProblem: 1, Sample(0, 0, 1), Sample(1, 1, 0) with { Tokens = [0, 1, vocabulary] });
        Sentence.Assert(Assert.Throws<UserException>(() => Load(keep: true)).Message, "sample 1", $"token {vocabulary}");
    }

    [Fact]
    public void More_steps_than_can_be_counted_are_refused_before_the_first()
    {
        GuideRecipe recipe = StarGraphRecipe.For(2, 2).Guide with { Steps = 0, Epochs = 100_000, Batch = 1 };
        Experiment experiment = new(Ops.For(_device), _experiment.Task, recipe, 1, 64, new SilentProgress(), CancellationToken.None);
        RolloutData data = new([.. Enumerable.Repeat(Sample(0, 0, 1), 30_000)], [], 1, 1, null, []);
        Sentence.Assert(Assert.Throws<UserException>(() => experiment.RequireLearnable(data, Catalog.QSharp, _reference)).Message, "--epochs 100000", "3000000000 steps");
    }

    public void Dispose()
    {
        _reference.Dispose();
        _device.Dispose();
        _folder.Dispose();
    }

    private static Rollout Sample(long problem, long number, float reward) => new(problem, number, 1, [0, 1, 2], 2, 0, 0, reward);

    private List<Rollout> Load(bool keep) => _experiment.LoadRollouts(_folder.Path, _reference, keep).Train;

    private void Write(int samplesPerProblem, params Rollout[] rollouts)
    {
        ITask task = _experiment.Task;
        JsonObject collection = new() { ["samples_per_problem"] = samplesPerProblem };
        new RolloutSet(task.Fingerprint, task.Vocabulary, ModelFolder.Fingerprint(_reference), collection).Save(_folder.Path);
        using RolloutFile file = RolloutFile.Append(RolloutSet.DataPath(_folder.Path));
        file.Write(rollouts);
    }
}
