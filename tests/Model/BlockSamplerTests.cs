using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Block-wise controlled decoding beside the law that it is known to have.</summary>
public class BlockSamplerTests
{
    private const int Rows = 64, Draws = 6400;

    [Theory, InlineData(HeadKind.V, false, 3), InlineData(HeadKind.Q, false, 2), InlineData(HeadKind.V, false, 1), InlineData(HeadKind.Q, true, 3)]
    public void A_first_block_of_one_token_is_the_best_of_M_of_the_reference(HeadKind kind, bool isShared, int count)
    {
        using SamplerRig rig = new("gpt2", kind, FamilyKind.Bernoulli);
        using SharedTrunkGuide shared = SharedHeads.NewGuide(rig.Reference, rig.Family, 3);
        int[] prompt = SamplerRig.Prompt(1);
        double[] logits = TestModels.Outputs(rig.Reference, prompt, 0, prompt.Length - 1, 0);
        double sum = logits.Sum(Math.Exp);
        double[] chances = [.. logits.Select(logit => Math.Exp(logit) / sum)];
        float[] state = TestModels.Hidden(rig.Reference, prompt)[^rig.Reference.Config.Width..];
        double[] values = [.. Enumerable.Range(0, SamplerRig.Vocab).Select(token => (isShared
            ? SharedHeads.Formula(shared, state, token)
            : kind == HeadKind.V ? TestModels.Outputs(rig.Guide, [.. prompt, token], 0, prompt.Length, token)
            : TestModels.Outputs(rig.Guide, prompt, 0, prompt.Length - 1, token))[0])];
        double[] drawn = new double[SamplerRig.Vocab];
        using FusedGuidance guidance = new(rig.Ops);
        using BlockSampler sampler = new(rig.Reference, isShared ? shared : rig.Guide, guidance, new SamplerShape(Rows, prompt.Length, 1), new BlockSettings(count, 1), []);
        SampleBatch batch = new(Rows, prompt.Length, 1);
        IEnumerable<SampleRequest> requests = Enumerable.Range(0, Draws).Select(i => new SampleRequest(prompt, 1, i, i));
        foreach (int row in sampler.Run(requests, batch, GuidanceRule.Reference(), SamplerRig.Key, TestContext.Current.CancellationToken))
            drawn[batch.Response(row)[0]] += 1.0 / Draws;
        for (int token = 0; token < drawn.Length; token++)
        {
            // The best of M is at most as good as y with chance F(y)^M.
            double below = chances.Where((_, other) => values[other] < values[token]).Sum();
            double chance = Math.Pow(below + chances[token], count) - Math.Pow(below, count);
            Assert.InRange(drawn[token], chance - 4.5 * Math.Sqrt(chance / Draws) - 1e-4, chance + 4.5 * Math.Sqrt(chance / Draws) + 1e-4);
        }
    }

    [Fact]
    public void Every_response_has_its_length_and_ends_at_a_stop_whatever_the_blocks_are()
    {
        using SamplerRig rig = new("gpt2", HeadKind.V, FamilyKind.Bernoulli);
        using FusedGuidance guidance = new(rig.Ops);
        bool hasStopped = false;
        foreach (int tokens in (int[])[1, 3, 100])
        {
            using BlockSampler sampler = new(
                rig.Reference, rig.Guide, guidance, SamplerRig.Shape, new BlockSettings(2, tokens), Enumerable.Range(0, SamplerRig.Vocab / 4));
            SampleBatch batch = rig.NewBatch();
            foreach (int row in sampler.Run(Requests(), batch, GuidanceRule.Reference(), SamplerRig.Key, TestContext.Current.CancellationToken))
            {
                int[] response = batch.Response(row).ToArray();
                bool isStopped = batch.Finishes[row] == Finish.End;
                hasStopped |= isStopped;
                Assert.Equal(isStopped, response[^1] < SamplerRig.Vocab / 4);
                Assert.All(response[..^1], token => Assert.InRange(token, SamplerRig.Vocab / 4, SamplerRig.Vocab));
                if (!isStopped) Assert.Equal(SamplerRig.Limit(row), response.Length);
                Assert.Equal(0, batch.Sum(row, SampleStatistics.Kl));
            }
        }
        Assert.True(hasStopped);
    }

    [Fact]
    public void A_block_is_seen_when_it_is_chosen_and_ends_where_whoever_sees_it_says()
    {
        using SamplerRig rig = new("gpt2", HeadKind.V, FamilyKind.Bernoulli);
        using FusedGuidance guidance = new(rig.Ops);
        const int tokens = 3, most = 5;
        using BlockSampler sampler = new(rig.Reference, rig.Guide, guidance, SamplerRig.Shape, new BlockSettings(2, tokens), []);
        SampleBatch batch = rig.NewBatch();
        List<int>[] seen = [.. Enumerable.Range(0, SamplerRig.Rows).Select(_ => new List<int>())];
        int longest = 0;
        foreach (int row in sampler.Run(Requests(), batch, GuidanceRule.Reference(), SamplerRig.Key, TestContext.Current.CancellationToken, GoesOn))
        {
            Assert.Equal(seen[row], batch.Response(row).ToArray());
            Assert.Equal(most, seen[row].Count);   // in the middle of the second block
            Assert.Equal(Finish.Stop, batch.Finishes[row]);
        }

        bool GoesOn(int row, int token)
        {
            seen[row].Add(token);
            // All rows see a block before any sees the next one.
            if (seen[row].Count > longest) Assert.All(seen, each => Assert.True(each.Count >= (seen[row].Count - 1) / tokens * tokens || each.Count == most));
            longest = Math.Max(longest, seen[row].Count);
            return seen[row].Count < most;
        }
    }

    [Fact]
    public void Texts_that_the_guide_cannot_read_are_refused()
    {
        using SamplerRig rig = new("gpt2", HeadKind.V, FamilyKind.Bernoulli);
        using FusedGuidance guidance = new(rig.Ops);
        using ValueModel small = TestModels.Value(rig.Ops, rig.Guide.Config with { Context = 10 }, rig.Guide.Settings, 1), few = TestModels.Value(rig.Ops, rig.Guide.Config with { Vocab = 20 }, rig.Guide.Settings, 1);
        foreach ((ValueModel guide, string says) in new[] { (small, "context of 10"), (few, "20 tokens") })
            Sentence.Assert(Assert.Throws<QSharp.Engine.UserException>(() => new BlockSampler(rig.Reference, guide, guidance, SamplerRig.Shape, new BlockSettings(2, 2), [])).Message, says);
    }

    [Fact]
    public void A_guide_without_values_is_told_of_and_no_block_is_taken_from_another_text()
    {
        using SamplerRig rig = new("gpt2", HeadKind.V, FamilyKind.Categorical);
        using FusedGuidance guidance = new(rig.Ops);
        using BlockSampler sampler = new(rig.Reference, rig.Guide, guidance, SamplerRig.Shape, new BlockSettings(2, 3), []);
        int bad = SamplerRig.Prompt(1)[0];
        rig.Guide.Weights.Tokens.Slice(bad).Span<float>().Fill(float.NaN);
        IEnumerable<SampleRequest> requests = Requests().Where(request => request.Number == 1 || !request.Prompt.Contains(bad)).OrderBy(request => request.Number == 1);
        Assert.NotEqual(1, requests.First().Number);   // a text with values comes first, and its blocks could be taken for the other's
        Sentence.Assert(Assert.Throws<QSharp.Engine.UserException>(() => sampler.Run(
            requests, rig.NewBatch(), GuidanceRule.Reference(), SamplerRig.Key, TestContext.Current.CancellationToken).Count()).Message, "NaN", "--learning-rate");
    }

    private static IEnumerable<SampleRequest> Requests() =>
        Enumerable.Range(0, SamplerRig.Rows).Select(row => new SampleRequest(SamplerRig.Prompt(row), SamplerRig.Limit(row), SamplerRig.Stream(row), row));

    [Fact]
    public void The_bound_on_KL_is_that_of_best_of_M_for_each_block()
    {
        BlockSettings settings = new(4, 8);
        Assert.Equal(Math.Log(4) - 0.75, settings.KlBound(8), 1e-12);
        Assert.Equal(3 * (Math.Log(4) - 0.75), settings.KlBound(17), 1e-12);
        Assert.Equal(0, new BlockSettings(1, 8).KlBound(100));
    }
}
