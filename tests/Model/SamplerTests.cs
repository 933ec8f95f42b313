using System.Runtime.InteropServices;

using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Whole responses, guided and not: what the steps give together, with models and caches at work.</summary>
public sealed class SamplerTests
{
    private static readonly (float Temperature, float TopP)[] Shapings = [(1, 1), (0.7f, 1), (1, 0.8f), (1.3f, 0.9f), (0, 1)];

    public static TheoryData<HeadKind, FamilyKind> Heads() => new()
    {
        { HeadKind.V, FamilyKind.Bernoulli },
        { HeadKind.V, FamilyKind.Categorical },
        { HeadKind.Q, FamilyKind.Bernoulli },
        { HeadKind.Q, FamilyKind.Categorical },
    };

    [Theory, MemberData(nameof(Heads))]
    public void Fused_and_naive_guidance_draw_the_same_responses_with_the_same_statistics(HeadKind kind, FamilyKind family)
    {
        using SamplerRig rig = new("llama", kind, family, isBidirectional: true);
        using Guidance fused = new FusedGuidance(rig.Ops), naive = new NaiveGuidance(rig.Ops);
        using Sampler first = rig.NewSampler(fused), second = rig.NewSampler(naive);
        foreach (GuidanceRule rule in Rules(rig.Family))
        {
            SampleBatch a = rig.NewBatch(), b = rig.NewBatch();
            SamplerRig.Draw(first, a, rule);
            SamplerRig.Draw(second, b, rule);
            for (int row = 0; row < a.Count; row++) SamplerRig.AssertSame(rule.ToString(), a, row, b, row, 1e-4);
        }
    }

    /// <summary>Nothing of the sampler is used: each law is built from passes over whole rows, in float64 from the logits on.</summary>
    [Theory, MemberData(nameof(Heads))]
    public void Tokens_and_statistics_are_those_of_laws_built_from_whole_rows(HeadKind kind, FamilyKind family)
    {
        using SamplerRig rig = new("gpt2", kind, family, isBidirectional: kind == HeadKind.V);
        using Guidance fused = new FusedGuidance(rig.Ops);
        using Sampler sampler = rig.NewSampler(fused);
        GuidanceRule[] rules =
        [
            new(Tilt.LogMeanExp, rig.Family, 3, Outside.Martingale, Temperature: 0.8f),
            new(Tilt.LogMeanExp, rig.Family, -2, Outside.Zero, TopP: 0.9f, Order: Order.TiltThenTemper),
        ];
        foreach (GuidanceRule rule in rules)
        {
            SampleBatch batch = rig.NewBatch();
            SamplerRig.Draw(sampler, batch, rule);
            int outside = 0;
            foreach (int row in new[] { 0, 3 })
            {
                double prefixTilt = double.NaN;
                int[] prompt = SamplerRig.Prompt(row);
                for (int t = 0; t < batch.ResponseLengths[row]; t++)
                {
                    int[] prefix = [.. prompt, .. batch.Response(row)[..t]];
                    GuidedStep step = rig.Exact(rule, prefix, prompt.Length, prefixTilt, batch.Streams[row], t);
                    if (step.Gap > 1e-3) Assert.Equal(step.Next, batch.Response(row)[t]);
                    if (step.Next != batch.Response(row)[t]) break;   // a tie to rounding: what follows has no oracle
                    ReadOnlySpan<float> statistics = SamplerRig.Statistics(batch, row, t);
                    for (int i = 0; i < SampleStatistics.Count; i++)
                    {
                        double expected = step.Statistics[i], tolerance = 1e-3 * Math.Max(1, Math.Abs(expected));
                        string message = $"{rule}: token {t} of row {row}: statistic {i} is {statistics[i]}, not {expected}.";
                        Assert.True(Math.Abs(expected - statistics[i]) < tolerance, message);
                    }
                    Assert.Equal(step.Statistics[SampleStatistics.Kl], statistics[SampleStatistics.Kl], 1e-4);
                    outside += step.Chosen < 0 ? 1 : 0;
                    prefixTilt = step.Chosen < 0 ? double.NaN : statistics[SampleStatistics.ChosenTilt];
                }
            }
            Assert.True(outside > 0, "No token from outside of the candidates was drawn, so that path was not tested.");
        }
    }

    [Theory, InlineData(1, 1, Order.TemperThenTilt), InlineData(0.8f, 0.9f, Order.TiltThenTemper), InlineData(0, 1, Order.TemperThenTilt)]
    public void Lambda_0_is_the_reference_bit_for_bit(float temperature, float topP, Order order)
    {
        using SamplerRig rig = new("qwen2", HeadKind.V, FamilyKind.Bernoulli);
        using Guidance fused = new FusedGuidance(rig.Ops), naive = new NaiveGuidance(rig.Ops);
        foreach (Guidance guidance in new[] { fused, naive })
        {
            using Sampler with = rig.NewSampler(guidance), without = new(
                rig.Reference, null, guidance, SamplerRig.Shape, []);
            SampleBatch a = rig.NewBatch(), b = rig.NewBatch();
            SamplerRig.Draw(with, a, new GuidanceRule(Tilt.LogMeanExp, rig.Family, 0, Outside.Martingale, temperature, topP, order));
            SamplerRig.Draw(without, b, GuidanceRule.Reference(temperature, topP));
            Assert.Equal(a.Responses, b.Responses);
            Assert.True(MemoryMarshal.AsBytes<float>(a.Statistics).SequenceEqual(MemoryMarshal.AsBytes<float>(b.Statistics)));
            Assert.Equal(0, a.Sum(0, SampleStatistics.Kl), 1e-6);
        }
    }

    [Theory, InlineData("gpt2", HeadKind.V), InlineData("llama", HeadKind.V), InlineData("qwen2", HeadKind.Q)]
    public void A_response_does_not_depend_on_what_else_is_in_the_batch(string family, HeadKind kind)
    {
        using SamplerRig rig = new(family, kind, FamilyKind.Bernoulli, isBidirectional: true);
        using Guidance fused = new FusedGuidance(rig.Ops);
        GuidanceRule rule = new(Tilt.LogMeanExp, rig.Family, 2);
        using Sampler together = rig.NewSampler(fused), alone = new(
            rig.Reference, rig.Guide, fused, new SamplerShape(1, SamplerRig.PromptTokens + 5, SamplerRig.NewTokens + 2, SamplerRig.Candidates), []);
        SampleBatch all = rig.NewBatch(), reversed = rig.NewBatch(), single = new(1, SamplerRig.PromptTokens + 5, SamplerRig.NewTokens + 2);
        reversed.Clear();
        for (int row = SamplerRig.Rows - 2; row >= 0; row--)
            reversed.Add(SamplerRig.Prompt(row), SamplerRig.Limit(row), SamplerRig.Stream(row));
        SamplerRig.Draw(together, all, rule);
        SamplerRig.Draw(together, reversed, rule);
        for (int row = 0; row < SamplerRig.Rows - 1; row++)
        {
            SamplerRig.AssertSame("reversed", all, row, reversed, SamplerRig.Rows - 2 - row, 1e-4);
            single.Clear();
            single.Add(SamplerRig.Prompt(row), SamplerRig.Limit(row), SamplerRig.Stream(row));
            SamplerRig.Draw(alone, single, rule);
            SamplerRig.AssertSame("alone", all, row, single, 0, 1e-4);
        }
    }

    [Theory, InlineData("gpt2", HeadKind.V), InlineData("llama", HeadKind.V), InlineData("llama", HeadKind.Q)]
    public void A_token_from_outside_of_the_candidates_leaves_the_cache_as_a_prompt_that_holds_it(string family, HeadKind kind)
    {
        using SamplerRig rig = new(family, kind, FamilyKind.Bernoulli);
        using Guidance fused = new FusedGuidance(rig.Ops);
        GuidanceRule rule = new(Tilt.LogMeanExp, rig.Family, -3, Outside.Zero);   // the one candidate is made unlikely
        using Sampler sampler = rig.NewSampler(fused, candidates: 1), fresh = new(
            rig.Reference, rig.Guide, fused, new SamplerShape(1, SamplerRig.PromptTokens + SamplerRig.NewTokens, 1), []);
        SampleBatch batch = rig.NewBatch(), one = new(1, SamplerRig.PromptTokens + SamplerRig.NewTokens, 1);
        SamplerRig.Draw(sampler, batch, rule);
        int outside = 0, inside = 0;
        for (int row = 0; row < SamplerRig.Rows; row++)
        {
            for (int t = 1; t < batch.ResponseLengths[row]; t++)
            {
                ReadOnlySpan<float> before = SamplerRig.Statistics(batch, row, t - 1), now = SamplerRig.Statistics(batch, row, t);
                bool fromOutside = before[SampleStatistics.ChosenTilt] == 0;
                outside += fromOutside ? 1 : 0;
                inside += fromOutside ? 0 : 1;
                if (fromOutside) Assert.Equal(0, now[SampleStatistics.Residual]);   // nobody has said W of that token
                one.Clear();
                one.Add([.. SamplerRig.Prompt(row), .. batch.Response(row)[..t]], 1, SamplerRig.Stream(row));
                SamplerRig.Draw(fresh, one, rule);
                ReadOnlySpan<float> expected = SamplerRig.Statistics(one, 0, 0);
                Assert.Equal(expected[SampleStatistics.Kl], now[SampleStatistics.Kl], 1e-4f);
                Assert.Equal(expected[SampleStatistics.LogNormalizer], now[SampleStatistics.LogNormalizer], 1e-4f);
            }
        }
        Assert.True(outside > 5 && inside > 0, $"{outside} tokens came from outside of the candidates and {inside} did not.");
    }

    [Fact]
    public void A_stop_token_ends_its_response_and_no_other()
    {
        using SamplerRig rig = new("gpt2", HeadKind.V, FamilyKind.Bernoulli);
        using Guidance fused = new FusedGuidance(rig.Ops);
        int[] stops = [.. Enumerable.Range(0, 8)];
        using Sampler free = rig.NewSampler(fused), stopping = new(
            rig.Reference, rig.Guide, fused, SamplerRig.Shape, stops);
        GuidanceRule rule = new(Tilt.LogMeanExp, rig.Family, 2);
        int stopped = 0, full = 0;
        for (ulong key = 0; key < 8; key++)
        {
            SampleBatch whole = rig.NewBatch(), cut = rig.NewBatch();
            SamplerRig.Draw(free, whole, rule, key);
            SamplerRig.Draw(stopping, cut, rule, key);
            for (int row = 0; row < cut.Count; row++)
            {
                int[] expected = whole.Response(row).ToArray();
                Assert.Equal(SamplerRig.Limit(row), expected.Length);
                int end = Array.FindIndex(expected, token => stops.Contains(token));
                if (end >= 0) expected = expected[..(end + 1)];
                Assert.Equal(expected, cut.Response(row).ToArray());
                stopped += end >= 0 && end + 1 < SamplerRig.Limit(row) ? 1 : 0;
                full += end < 0 ? 1 : 0;
            }
        }
        Assert.True(stopped > 0 && full > 0);
    }

    [Theory, InlineData(HeadKind.V, true), InlineData(HeadKind.V, false), InlineData(HeadKind.Q, true)]
    public void A_warm_sampler_makes_no_device_allocation_and_no_garbage_for_each_token(HeadKind kind, bool isFused)
    {
        using SamplerRig rig = new("llama", kind, FamilyKind.Bernoulli);
        using Guidance guidance = isFused ? new FusedGuidance(rig.Ops) : new NaiveGuidance(rig.Ops);
        using Sampler sampler = rig.NewSampler(guidance, candidates: 2);
        GuidanceRule rule = new(Tilt.LogMeanExp, rig.Family, -2, Outside.Zero);   // tokens from outside take their own path
        SampleBatch batch = rig.NewBatch();
        SamplerRig.Draw(sampler, batch, rule);
        long native = rig.Device.Allocations;
        long longRun = Measure();
        for (int row = 0; row < batch.Count; row++) batch.Limits[row] = 1;
        Assert.Equal(Measure(), longRun);
        Assert.Equal(native, rig.Device.Allocations);

        long Measure()
        {
            SamplerRig.Draw(sampler, batch, rule);
            return Allocated.Bytes(() => SamplerRig.Draw(sampler, batch, rule));
        }
    }

    /// <summary>Prompts of more tokens than one pass takes, of several rows in one pass, and of rows that share another one's.</summary>
    [Theory, InlineData(HeadKind.V), InlineData(HeadKind.Q)]
    public void A_prompt_is_read_the_same_in_parts_in_groups_and_shared(HeadKind kind)
    {
        using SamplerRig rig = new("llama", kind, FamilyKind.Bernoulli);
        using Guidance fused = new FusedGuidance(rig.Ops);
        GuidanceRule rule = new(Tilt.LogMeanExp, rig.Family, 2);
        int[] lengths = [1100, 1100, 9, 8, 8, 700];
        int[][] prompts = [.. lengths.Select((length, row) => TestModels.RandomTokens(row is 1 or 4 ? 299 + (ulong)row : 300 + (ulong)row, length, SamplerRig.Vocab))];
        Assert.Equal(prompts[0], prompts[1]);
        Assert.Equal(prompts[3], prompts[4]);
        using Sampler sampler = new(rig.Reference, rig.Guide, fused, new SamplerShape(prompts.Length, 1100, 3, SamplerRig.Candidates), []);
        SampleBatch batch = new(prompts.Length, 1100, 3);
        for (int row = 0; row < prompts.Length; row++) batch.Add(prompts[row], 3, row);
        SamplerRig.Draw(sampler, batch, rule);
        for (int row = 0; row < prompts.Length; row++)
        {
            double prefixTilt = double.NaN;
            for (int t = 0; t < 3; t++)
            {
                int[] prefix = [.. prompts[row], .. batch.Response(row)[..t]];
                GuidedStep step = rig.Exact(rule, prefix, prompts[row].Length, prefixTilt, row, t);
                ReadOnlySpan<float> statistics = SamplerRig.Statistics(batch, row, t);
                foreach (int i in (int[])[SampleStatistics.Kl, SampleStatistics.LogNormalizer])
                    Assert.True(Math.Abs(step.Statistics[i] - statistics[i]) < 1e-3, $"token {t} of row {row}: statistic {i} is {statistics[i]}, not {step.Statistics[i]}.");
                prefixTilt = step.Chosen < 0 ? double.NaN : statistics[SampleStatistics.ChosenTilt];
            }
        }
    }

    /// <summary>Qwen2.5's small and large models have one tokenizer and pad their tables to different sizes.</summary>
    [Theory, InlineData(HeadKind.V), InlineData(HeadKind.Q)]
    public void A_guide_whose_table_is_padded_otherwise_than_the_references_guides_the_same(HeadKind kind)
    {
        using SamplerRig rig = new("llama", kind, FamilyKind.Bernoulli);
        using Guidance fused = new FusedGuidance(rig.Ops);
        GuidanceRule rule = new(Tilt.LogMeanExp, rig.Family, 3);
        using LanguageModel wideReference = TestModels.Language(rig.Ops, rig.Reference.Config with { Vocab = SamplerRig.Vocab + 3 }, 90);
        using ValueModel wideGuide = TestModels.Value(rig.Ops, rig.Guide.Config with { Vocab = SamplerRig.Vocab + 11 }, rig.Guide.Settings, 91);
        CopyRows(rig.Reference, wideReference);
        CopyRows(rig.Guide, wideGuide);
        using Sampler plain = rig.NewSampler(fused), padded = new(wideReference, wideGuide, fused, SamplerRig.Shape with { Vocabulary = SamplerRig.Vocab }, []);
        SampleBatch a = rig.NewBatch(), b = rig.NewBatch();
        SamplerRig.Draw(plain, a, rule);
        SamplerRig.Draw(padded, b, rule);
        for (int row = 0; row < a.Count; row++) SamplerRig.AssertSame("padded", a, row, b, row, 1e-5);
        // Too small a table is the user's mistake.
        Assert.Throws<QSharp.Engine.UserException>(() => new Sampler(wideReference, rig.Guide, fused, SamplerRig.Shape, []));

        static void CopyRows(HeadedModel from, HeadedModel to)
        {
            foreach ((string name, QSharp.Engine.Tensor source, _) in from.Weights.Named)
                source.Span<float>().CopyTo(to.Weights.Named.First(parameter => parameter.Name == name).Value.Span<float>());
        }
    }

    /// <summary>Every way of treating tokens outside, both tilts, both orders, and the shapings in turn.</summary>
    private static IEnumerable<GuidanceRule> Rules(ReturnFamily family)
    {
        int shaping = 0;
        foreach (Outside outside in Enum.GetValues<Outside>())
            foreach (Tilt tilt in new[] { Tilt.LogMeanExp, Tilt.Mean })
                foreach (Order order in Enum.GetValues<Order>())
                {
                    (float temperature, float topP) = Shapings[shaping++ % Shapings.Length];
                    yield return new GuidanceRule(tilt, family, 2.5f, outside, temperature, topP, order);
                }
    }
}
