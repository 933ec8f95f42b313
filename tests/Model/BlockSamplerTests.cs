using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Block-wise controlled decoding beside the law that it is known to have.</summary>
public class BlockSamplerTests
{
    private const int Rows = 64, Draws = 6400;

    [Theory, InlineData(HeadKind.V, 3), InlineData(HeadKind.Q, 2), InlineData(HeadKind.V, 1)]
    public void A_first_block_of_one_token_is_the_best_of_M_of_the_reference(HeadKind kind, int count)
    {
        using SamplerRig rig = new("gpt2", kind, FamilyKind.Bernoulli);
        int[] prompt = SamplerRig.Prompt(1);
        double[] logits = TestModels.Outputs(rig.Reference, prompt, 0, prompt.Length - 1, 0);
        double sum = logits.Sum(Math.Exp);
        double[] chances = [.. logits.Select(logit => Math.Exp(logit) / sum)];
        double[] values = [.. Enumerable.Range(0, SamplerRig.Vocab).Select(token => (kind == HeadKind.V
            ? TestModels.Outputs(rig.Guide, [.. prompt, token], 0, prompt.Length, token)
            : TestModels.Outputs(rig.Guide, prompt, 0, prompt.Length - 1, token))[0])];
        double[] drawn = new double[SamplerRig.Vocab];
        using FusedGuidance guidance = new(rig.Ops);
        using BlockSampler sampler = new(rig.Reference, rig.Guide, guidance, new SamplerShape(Rows, prompt.Length, 1), new BlockSettings(count, 1), []);
        SampleBatch batch = new(Rows, prompt.Length, 1);
        for (int from = 0; from < Draws; from += Rows)
        {
            batch.Clear();
            for (int row = 0; row < Rows; row++) batch.Add(prompt, 1, from + row);
            sampler.Run(batch, GuidanceRule.Reference(), SamplerRig.Key, TestContext.Current.CancellationToken);
            for (int row = 0; row < Rows; row++) drawn[batch.Response(row)[0]] += 1.0 / Draws;
        }
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
            sampler.Run(batch, GuidanceRule.Reference(), SamplerRig.Key, TestContext.Current.CancellationToken);
            for (int row = 0; row < SamplerRig.Rows; row++)
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
    public void The_bound_on_KL_is_that_of_best_of_M_for_each_block()
    {
        BlockSettings settings = new(4, 8);
        Assert.Equal(Math.Log(4) - 0.75, settings.KlBound(8), 1e-12);
        Assert.Equal(3 * (Math.Log(4) - 0.75), settings.KlBound(17), 1e-12);
        Assert.Equal(0, new BlockSettings(1, 8).KlBound(100));
    }
}
