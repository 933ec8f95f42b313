using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Rows that start where others have ended draw what they draw in a batch that nobody joins.</summary>
public sealed class RefillTests
{
    private const int Count = 61, PromptTokens = 9, NewTokens = 10;

    private static readonly int[] _stops = [3, 4, 5];

    public enum GuideKind
    {
        None,
        V,
        BidirectionalV,
        PromptV,
        Q,
        SharedTrunk,
    }

    [Theory]
    [InlineData("gpt2", GuideKind.V), InlineData("llama", GuideKind.V), InlineData("llama", GuideKind.BidirectionalV), InlineData("qwen2", GuideKind.Q)]
    [InlineData("llama", GuideKind.PromptV), InlineData("llama", GuideKind.SharedTrunk), InlineData("gpt2", GuideKind.None)]
    public void A_response_is_the_same_whoever_left_its_row_before(string architecture, GuideKind kind)
    {
        using SamplerRig rig = new(architecture, kind == GuideKind.Q ? HeadKind.Q : HeadKind.V, FamilyKind.Bernoulli, kind == GuideKind.BidirectionalV, kind == GuideKind.PromptV);
        using SharedTrunkGuide shared = new(rig.Reference, ReturnFamily.Bernoulli, 16);
        if (kind == GuideKind.SharedTrunk) Randomize(shared);
        IGuide? guide = kind switch { GuideKind.None => null, GuideKind.SharedTrunk => shared, _ => rig.Guide };
        using Guidance fused = new FusedGuidance(rig.Ops);
        // Tokens from outside of the candidates are likely, so that their pass is at work too.
        GuidanceRule rule = guide is null ? GuidanceRule.Reference(0.9f, 1) : new(Tilt.LogMeanExp, rig.Family, 2, Outside.Martingale, 0.9f);

        SampleBatch whole = NewBatch(Count);
        using (Sampler sampler = NewSampler(Count))
        {
            foreach (SampleRequest request in Requests()) whole.Add(request.Prompt, request.Limit, request.Stream);
            SamplerRig.Draw(sampler, whole, rule);
        }
        Assert.True(whole.Finishes.Distinct().Count() == 2 && whole.ResponseLengths.Distinct().Count() > 4, "All responses have one length, so that none would join late.");
        foreach (int rows in new[] { 2, 7, 64 })
        {
            using Sampler sampler = NewSampler(rows);
            SampleBatch batch = NewBatch(rows);
            bool[] seen = new bool[Count];
            foreach (int row in sampler.Run(Requests(), batch, rule, SamplerRig.Key, TestContext.Current.CancellationToken))
            {
                int number = (int)batch.Numbers[row];
                Assert.False(seen[number]);
                seen[number] = true;
                SamplerRig.AssertSame($"{rows} rows", whole, number, batch, row, 1e-4);
                Assert.Equal(whole.Finishes[number], batch.Finishes[row]);
                AssertSameStates(whole, number, batch, row);
            }
            Assert.DoesNotContain(false, seen);
        }

        Sampler NewSampler(int rows) =>
            new(rig.Reference, guide, fused, new SamplerShape(rows, PromptTokens, NewTokens, SamplerRig.Candidates), _stops);

        SampleBatch NewBatch(int rows) => new(rows, PromptTokens, NewTokens, rig.Reference.Config.Width);
    }

    /// <summary>A resumed run reads fewer prompts at once than one that never stopped.</summary>
    [Theory, InlineData(1), InlineData(3), InlineData(PromptTokens)]
    public void A_prompts_bits_are_the_same_whichever_are_read_with_it(int length)
    {
        using CpuDevice device = new(1);
        Ops ops = Ops.For(device);
        using LanguageModel model = TestModels.Language(ops, TestModels.Config("llama", 40, context: 32, layers: 2, width: 256), seed: 3);
        using Guidance fused = new FusedGuidance(ops);
        using Sampler sampler = new(model, null, fused, new SamplerShape(24, PromptTokens, NewTokens, SamplerRig.Candidates), _stops);
        SampleBatch alone = Draw(1), joined = Draw(24);
        Assert.Equal(joined.Response(0), alone.Response(0));
        Assert.True(joined.ResponseHidden(0).SequenceEqual(alone.ResponseHidden(0)), "The hidden states differ.");
        Assert.Equal(joined.Column(0, SampleStatistics.LogPolicy), alone.Column(0, SampleStatistics.LogPolicy));

        SampleBatch Draw(int count)
        {
            SampleBatch batch = new(24, PromptTokens, NewTokens, model.Config.Width);
            for (int i = 0; i < count; i++) batch.Add([.. Enumerable.Range(0, length).Select(t => (7 * i + 3 * t + 6) % 40)], NewTokens, stream: i);
            SamplerRig.Draw(sampler, batch, GuidanceRule.Reference(0.9f, 1));
            return batch;
        }
    }

    [Theory, InlineData(HeadKind.V), InlineData(HeadKind.Q)]
    public void Drawing_by_rejection_joins_late_as_well(HeadKind kind)
    {
        using SamplerRig rig = new("llama", kind, FamilyKind.Bernoulli);
        using Guidance fused = new FusedGuidance(rig.Ops);
        GuidanceRule rule = new(Tilt.LogMeanExp, rig.Family, 2);
        Dictionary<long, int[]> few = Draw(3), many = Draw(Count);
        for (int number = 0; number < Count; number++) Assert.Equal(many[number], few[number]);

        Dictionary<long, int[]> Draw(int rows)
        {
            using Sampler sampler = new(rig.Reference, rig.Guide, fused, new SamplerShape(rows, PromptTokens, NewTokens, GuideRecipe.AllCandidates), _stops);
            SampleBatch batch = new(rows, PromptTokens, NewTokens);
            return sampler.Run(Requests(), batch, rule, SamplerRig.Key, TestContext.Current.CancellationToken)
                .Select(row => (batch.Numbers[row], Response: batch.Response(row).ToArray())).ToDictionary(each => each.Item1, each => each.Response);
        }
    }

    [Fact]
    public void A_prompt_is_read_once_while_it_is_there_and_the_oldest_unused_one_gives_way()
    {
        PromptSlots slots = new(rows: 2, count: 3, promptTokens: 2);
        slots.Take(0, [1, 2]);
        slots.Take(1, [1, 2]);
        Assert.Equal((0, 0), (slots.Of[0], slots.Of[1]));
        int first = slots.Version(0);
        slots.Release(0);
        slots.Take(0, [3]);
        slots.Release(1);
        slots.Take(1, [1, 2]);      // not in use for a moment, but there
        Assert.Equal((1, 0, first), (slots.Of[0], slots.Of[1], slots.Version(0)));
        slots.Release(0);
        slots.Take(0, [4, 5]);
        slots.Release(0);
        slots.Take(0, [6]);         // slot 0 is in use, so 3 gives way
        Assert.Equal((1, 0), (slots.Of[0], slots.Of[1]));
        Assert.Equal([6], slots.Prompt(1).ToArray());
        slots.Reset(keepsPrompts: true);
        slots.Take(1, [4, 5]);
        Assert.Equal(2, slots.Of[1]);
        int kept = slots.Version(2);
        slots.Reset(keepsPrompts: false);
        slots.Take(1, [4, 5]);
        Assert.NotEqual(kept, slots.Version(slots.Of[1]));
    }

    /// <summary>Prompts of several lengths, some of them the same, neighbours or not.</summary>
    private static IEnumerable<SampleRequest> Requests()
    {
        for (int i = 0; i < Count; i++)
        {
            ulong seed = 500 + (ulong)(i % 3 == 0 ? i / 9 : i);
            int[] prompt = TestModels.RandomTokens(seed, 1 + (int)(seed % PromptTokens), SamplerRig.Vocab);
            yield return new SampleRequest(prompt, NewTokens - i % 4, 3 * i, i);
        }
    }

    private static void Randomize(SharedTrunkGuide guide)
    {
        QSharp.Engine.PhiloxStream random = new(44);
        foreach ((_, QSharp.Engine.Tensor value, _) in guide.Weights.Named)
            foreach (ref float x in value.Span<float>()) x += 0.2f * random.NextNormal();
    }

    private static void AssertSameStates(SampleBatch a, int rowOfA, SampleBatch b, int rowOfB)
    {
        ReadOnlySpan<Half> x = a.ResponseHidden(rowOfA), y = b.ResponseHidden(rowOfB);
        Assert.Equal(x.Length, y.Length);
        for (int i = 0; i < x.Length; i++) Assert.Equal((float)x[i], (float)y[i], 1e-2f);
    }
}
