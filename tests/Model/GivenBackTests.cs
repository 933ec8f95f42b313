using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;
using QSharp.Tests.Kernels;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>A card that has no room at each allocation of a constructor in turn: what it had taken is given back.</summary>
[Collection(CudaCollection.Name)]
public sealed class GivenBackTests(CudaFixture cuda) : IDisposable
{
    private const int OutOfMemory = 2, Vocabulary = 11, Rows = 3;

    private static readonly OptimizerSettings _settings = new(new LearningRate(0.01f, 0, 10));

    private readonly TemporaryFolder _folder = new();

    [Theory, InlineData("policy"), InlineData("critic"), InlineData("qsharp-td"), InlineData("shared"), InlineData("collector"), InlineData("every token")]
    public void What_a_constructor_took_is_given_back_whichever_allocation_fails(string name)
    {
        using CudaDevice card = cuda.Open();
        Ops ops = Ops.For(card);
        using LanguageModel reference = new(ops, TestModels.Config("gpt2", Vocabulary));
        using ValueModel guide = new(ops, reference.Config, new ValueSettings(HeadKind.Q, ReturnFamily.Bernoulli, BidirectionalPrompt: false));
        using SharedTrunkGuide shared = new(reference, ReturnFamily.Bernoulli, 24);
        using FusedGuidance guidance = new(ops);
        Rollout[] rollouts = [.. Enumerable.Range(0, 4).Select(i => new Rollout(i, i, 1, TestModels.RandomTokens((ulong)i, 6, Vocabulary), 3, 0, 0, i % 2))];
        RolloutSource source = new(rollouts, guide.Settings, 1);
        HiddenReader? states = null;
        Make().Dispose();   // what the card keeps from the first time on is there
        long before = card.AllocatedBytes, memory = StandIn.Calls("cuMemAlloc_v2");
        Make().Dispose();
        long allocations = StandIn.Calls("cuMemAlloc_v2") - memory;
        Assert.True(allocations >= 2);
        for (int nth = 1; nth <= allocations; nth++)
        {
            StandIn.qsstandin_fail("cuMemAlloc_v2", nth, OutOfMemory);
            Sentence.Assert(Assert.Throws<UserException>(Make).Message, "MiB");
            Assert.True(before == card.AllocatedBytes, $"{name}: {card.AllocatedBytes - before} bytes are kept when allocation {nth} of {allocations} fails.");
            if (states is not null) Assert.Throws<ObjectDisposedException>(() => states.Read(0, new float[reference.Config.Width]));
        }

        IDisposable Make()
        {
            switch (name)
            {
                case "policy":
                    return new PolicyLearner(reference, reference, new PpoMethod(0.5f), source, _settings, Rows);
                case "critic":
                    return new Critic(reference, source, _settings, Rows);
                case "qsharp-td":
                    GuidanceRule rule = new(Tilt.Mean, ReturnFamily.Bernoulli, 1, Outside.Truncate);
                    return new SoftBellmanLearner(reference, guide, new QSharpMethod(ReturnFamily.Bernoulli), rule, 3, Vocabulary, source, _settings, Rows);
                case "shared":
                    states = States(reference.Config.Width);
                    HiddenSource tokens = new(rollouts, [0, 3, 6, 9], 1);
                    return new SharedHeadLearner(shared, new QSharpMethod(ReturnFamily.Bernoulli), states, tokens, tokens, _settings, 5, Rows);
                case "collector":
                    CollectSettings settings = new(2, RollIn.Policy, GuidanceRule.Reference(), 1, 5, Rows, Candidates: 3) { SwitchTopK = 2 };
                    return new RolloutCollector(new ChanceTask(), reference, null, settings, 7);
                default:
                    return new Sampler(reference, guide, guidance, new SamplerShape(Rows, 4, 5, GuideRecipe.AllCandidates), []);
            }
        }
    }

    /// <summary>Scores of every token, which top-p cuts after the tilt, are made at the first sample.</summary>
    [Fact]
    public void A_collector_gives_back_what_its_samples_took()
    {
        TreeTask task = new(Vocabulary, 2, _ => 1);
        using CpuDevice device = new(1);
        using LanguageModel reference = TestModels.Language(Ops.For(device), TestModels.Config("gpt2", Vocabulary), 3);
        using ValueModel guide = TestModels.Value(
            reference.Ops, reference.Config, new ValueSettings(HeadKind.Q, ReturnFamily.Bernoulli, BidirectionalPrompt: false), 4);
        GuidanceRule rule = new(Tilt.LogMeanExp, ReturnFamily.Bernoulli, 1, Outside.Min, TopP: 0.9f, Order: Order.TiltThenTemper);
        long before = device.AllocatedBytes;
        using (RolloutCollector collector = new(task, reference, guide, new CollectSettings(1, RollIn.None, rule, 2, 5, Rows, GuideRecipe.AllCandidates), 7))
            collector.Run(0, Rows, (_, _) => { }, new SilentProgress(), TestContext.Current.CancellationToken);
        Assert.Equal(before, device.AllocatedBytes);
    }

    public void Dispose()
    {
        StandIn.qsstandin_reset();
        _folder.Dispose();
    }

    private HiddenReader States(int width)
    {
        string path = _folder["states.bin"];
        using (FileStream file = HiddenFile.Append(path, width, 0)) HiddenFile.Write(file, new Half[12 * width], width);
        return new HiddenReader([new HiddenPart(path, 12)], width);
    }
}
