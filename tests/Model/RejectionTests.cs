using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>
/// Sampling over the whole vocabulary, by rejection from a V-type guide and from all tokens' tilts with a Q-type one: the law is the
/// exact one, for every token of a response.
/// </summary>
public sealed class RejectionTests
{
    private const int Rows = 64, Runs = 80, NewTokens = 2;

    [Theory]
    [InlineData(HeadKind.V, FamilyKind.Bernoulli, 3f, 1f, 1f), InlineData(HeadKind.V, FamilyKind.Categorical, 2f, 0.8f, 1f)]
    [InlineData(HeadKind.Q, FamilyKind.Categorical, 2f, 1f, 0.9f), InlineData(HeadKind.V, FamilyKind.Categorical, -2f, 1f, 1f)]
    public void Tokens_follow_the_law_over_the_whole_vocabulary(HeadKind kind, FamilyKind family, float lambda, float temperature, float topP)
    {
        using SamplerRig rig = new("llama", kind, family);
        GuidanceRule rule = new(Tilt.LogMeanExp, rig.Family, lambda, Temperature: temperature, TopP: topP);
        using Guidance fused = new FusedGuidance(rig.Ops);
        using Sampler sampler = new(rig.Reference, rig.Guide, fused, new SamplerShape(Rows, SamplerRig.PromptTokens, NewTokens, GuideRecipe.AllCandidates), []);
        int[] prompt = SamplerRig.Prompt(0), first = new int[SamplerRig.Vocab];
        List<int[]> responses = [];
        double logNormalizer = 0;
        for (ulong key = 0; key < Runs; key++)
        {
            SampleBatch batch = new(Rows, SamplerRig.PromptTokens, NewTokens);
            for (int row = 0; row < Rows; row++) batch.Add(prompt, NewTokens, row);
            SamplerRig.Draw(sampler, batch, rule, key);
            for (int row = 0; row < Rows; row++)
            {
                responses.Add(batch.Response(row).ToArray());
                first[responses[^1][0]]++;
                logNormalizer += SamplerRig.Statistics(batch, row, 0)[SampleStatistics.LogNormalizer] / (Rows * Runs);
            }
        }
        (double[] law, double exactNormalizer) = Law(rig, rule, prompt);
        AssertFollows(law, first, "first token");
        Assert.Equal(exactNormalizer, logNormalizer, 0.02);

        int likeliest = Array.IndexOf(first, first.Max());
        int[] second = new int[SamplerRig.Vocab];
        foreach (int[] response in responses.Where(response => response[0] == likeliest)) second[response[1]]++;
        AssertFollows(Law(rig, rule, [.. prompt, likeliest]).Law, second, "second token");
    }

    /// <summary>Though a row stops at the first proposal that it accepts, the means of ln Z, ln π and KL are right where few are accepted.</summary>
    [Fact]
    public void Statistics_are_without_bias_where_most_proposals_are_refused()
    {
        using SamplerRig rig = new("llama", HeadKind.V, FamilyKind.Bernoulli);
        int[] prompt = SamplerRig.Prompt(0);
        double[] q = SamplingOracle.LogSoftmax(TestModels.Outputs(rig.Reference, prompt, 0, prompt.Length - 1, 0), 1);
        // Tokens that succeed, with a hundredth of the mass or a little more, and others that hardly can.
        foreach (ref float weight in rig.Guide.Weights.Head.Span<float>()) weight *= 100;
        rig.Guide.Weights.HeadBias.Span<float>()[0] = 0;
        (double Value, double Share)[] tokens =
            [.. q.Select((log, token) => (TestModels.Outputs(rig.Guide, [.. prompt, token], 0, prompt.Length, token)[0], Math.Exp(log))).OrderDescending()];
        int good = 1;
        while (tokens[..good].Sum(token => token.Share) < 0.01) good++;
        rig.Guide.Weights.HeadBias.Span<float>()[0] = (float)-(tokens[good - 1].Value + tokens[good].Value) / 2;
        GuidanceRule rule = new(Tilt.LogMeanExp, rig.Family, 10);
        (double[] law, double exactNormalizer) = Law(rig, rule, prompt);
        Assert.InRange(exactNormalizer - 10, Math.Log(0.005), Math.Log(0.05));
        double exactKl = Enumerable.Range(0, law.Length).Sum(token => law[token] > 0 ? law[token] * (Math.Log(law[token]) - q[token]) : 0);
        using Guidance fused = new FusedGuidance(rig.Ops);
        using Sampler sampler = new(rig.Reference, rig.Guide, fused, new SamplerShape(Rows, SamplerRig.PromptTokens, 1, GuideRecipe.AllCandidates), []);
        List<double> logNormalizers = [], kls = [], logErrors = [];
        for (ulong key = 0; key < 20; key++)
        {
            SampleBatch batch = new(Rows, SamplerRig.PromptTokens, 1);
            for (int row = 0; row < Rows; row++) batch.Add(prompt, 1, row);
            SamplerRig.Draw(sampler, batch, rule, key);
            for (int row = 0; row < Rows; row++)
            {
                logNormalizers.Add(SamplerRig.Statistics(batch, row, 0)[SampleStatistics.LogNormalizer]);
                kls.Add(SamplerRig.Statistics(batch, row, 0)[SampleStatistics.Kl]);
                logErrors.Add(SamplerRig.Statistics(batch, row, 0)[SampleStatistics.LogPolicy] - Math.Log(law[batch.Response(row)[0]]));
            }
        }
        AssertMean("ln Z", exactNormalizer, logNormalizers);
        AssertMean("KL", exactKl, kls);
        AssertMean("ln π less what it is", 0, logErrors);
    }

    /// <summary>Simulated on laws that can be summed over, with weights of all kinds.</summary>
    [Theory]
    [InlineData(0.5, 0, 1), InlineData(0.05, 0, 1), InlineData(0.01, 0, 1), InlineData(0.002, 0, 1)]
    [InlineData(0.05, 0.001, 0.6), InlineData(0.3, 0.02, 1), InlineData(1, 0.2, 0.9)]
    public void Estimates_from_rounds_that_end_with_an_accepted_proposal_have_no_bias(double good, double low, double high)
    {
        const int n = 16, draws = 20_000;
        QSharp.Engine.PhiloxStream random = new(17);
        double[] weights = new double[n];
        float[] tilts = new float[n];
        List<double> logs = [], means = [];
        for (int draw = 0; draw < draws; draw++)
        {
            RejectionEstimate estimate = default;
            for (bool isAccepted = false; !isAccepted;)
            {
                for (int i = 0; i < n; i++)
                {
                    weights[i] = random.NextUniform() < good ? high : low;
                    tilts[i] = (float)Math.Log(weights[i]);
                    isAccepted |= random.NextUniform() < weights[i];
                }
                estimate.Add(weights, tilts);
            }
            logs.Add(estimate.LogMeanWeight);
            means.Add(estimate.MeanTilt);
        }
        double mean = good * high + (1 - good) * low;
        AssertMean("ln of the mean weight", Math.Log(mean), logs);
        AssertMean("mean accepted tilt", (good * high * Math.Log(high) + (low > 0 ? (1 - good) * low * Math.Log(low) : 0)) / mean, means);
        Assert.True(Estimate.Of(logs).Error < 0.01);
    }

    /// <summary>The drawn sibling's keys and values stay in the cache, whichever round it was drawn in.</summary>
    [Theory, InlineData(HeadKind.V), InlineData(HeadKind.Q)]
    public void Each_token_is_scored_after_all_the_tokens_drawn_before_it(HeadKind kind)
    {
        using SamplerRig rig = new("llama", kind, FamilyKind.Categorical);
        GuidanceRule rule = new(Tilt.LogMeanExp, rig.Family, 6);
        using Guidance fused = new FusedGuidance(rig.Ops);
        using Sampler sampler = new(rig.Reference, rig.Guide, fused, SamplerRig.Shape with { Candidates = GuideRecipe.AllCandidates }, []);
        SampleBatch batch = rig.NewBatch();
        SamplerRig.Draw(sampler, batch, rule);
        for (int row = 0; row < SamplerRig.Rows; row++)
        {
            int[] tokens = [.. SamplerRig.Prompt(row), .. batch.Response(row)];
            for (int t = 0; t < batch.ResponseLengths[row]; t++)
            {
                int at = SamplerRig.Prompt(row).Length + t;
                double[] value = TestModels.Outputs(rig.Guide, tokens[..(at + 1)], 0, kind == HeadKind.V ? at : at - 1, tokens[at]);
                double logReference = SamplingOracle.LogSoftmax(TestModels.Outputs(rig.Reference, tokens[..at], 0, at - 1, 0), 1)[tokens[at]];
                Assert.Equal(TiltOf(rig, rule, value), SamplerRig.Statistics(batch, row, t)[SampleStatistics.ChosenTilt], 1e-4);
                Assert.Equal(logReference, SamplerRig.Statistics(batch, row, t)[SampleStatistics.LogReference], 1e-4);
            }
        }
    }

    /// <summary>As of a guide whose training diverged: there is no law to draw from, least of all π_ref.</summary>
    [Fact]
    public void Values_that_are_no_numbers_are_refused()
    {
        using SamplerRig rig = new("llama", HeadKind.V, FamilyKind.Bernoulli);
        rig.Guide.Weights.HeadBias.Span<float>()[0] = float.NaN;
        using Guidance fused = new FusedGuidance(rig.Ops);
        using Sampler sampler = new(rig.Reference, rig.Guide, fused, SamplerRig.Shape with { Candidates = GuideRecipe.AllCandidates }, []);
        UserException refused = Assert.Throws<UserException>(() => SamplerRig.Draw(sampler, rig.NewBatch(), new(Tilt.LogMeanExp, rig.Family, 6)));
        Sentence.Assert(refused.Message, "--candidates all", "not a number");
    }

    /// <summary>A token that hardly any proposal is accepted for takes thousands of passes.</summary>
    [Fact]
    public void A_stop_is_heeded_while_one_token_is_drawn()
    {
        using SamplerRig rig = new("llama", HeadKind.V, FamilyKind.Bernoulli);
        rig.Guide.Weights.HeadBias.Span<float>()[0] = -60;
        using Guidance fused = new FusedGuidance(rig.Ops);
        using Sampler sampler = new(rig.Reference, rig.Guide, fused, SamplerRig.Shape with { Candidates = GuideRecipe.AllCandidates }, []);
        using CancellationTokenSource stop = new(TimeSpan.FromMilliseconds(500));
        Assert.Throws<OperationCanceledException>(() => sampler.Run(rig.NewBatch(), new(Tilt.LogMeanExp, rig.Family, 100), SamplerRig.Key, stop.Token));
    }

    [Fact]
    public void A_response_does_not_depend_on_what_else_is_in_the_batch()
    {
        using SamplerRig rig = new("qwen2", HeadKind.V, FamilyKind.Bernoulli);
        GuidanceRule rule = new(Tilt.LogMeanExp, rig.Family, 4);
        using Guidance fused = new FusedGuidance(rig.Ops);
        SamplerShape shape = SamplerRig.Shape with { Candidates = GuideRecipe.AllCandidates };
        using Sampler together = new(rig.Reference, rig.Guide, fused, shape, []), alone = new(rig.Reference, rig.Guide, fused, shape with { Rows = 1 }, []);
        SampleBatch all = rig.NewBatch(), single = new(1, SamplerRig.PromptTokens, SamplerRig.NewTokens);
        SamplerRig.Draw(together, all, rule);
        for (int row = 0; row < SamplerRig.Rows; row++)
        {
            single.Clear();
            single.Add(SamplerRig.Prompt(row), SamplerRig.Limit(row), SamplerRig.Stream(row));
            SamplerRig.Draw(alone, single, rule);
            SamplerRig.AssertSame("alone", all, row, single, 0, 1e-4);
        }
    }

    /// <summary>π ∝ π_ref·W in float64 from passes over whole rows, and ln Σ q·W.</summary>
    private static (double[] Law, double LogNormalizer) Law(SamplerRig rig, GuidanceRule rule, int[] prefix)
    {
        double[] logits = TestModels.Outputs(rig.Reference, prefix, 0, prefix.Length - 1, 0);
        double[] q = [.. SamplingOracle.LogSoftmax(logits, rule.Temperature).Select(Math.Exp)];
        int[] order = [.. Enumerable.Range(0, q.Length).OrderByDescending(token => q[token])];
        double mass = 0;
        foreach (int token in order)
        {
            (double kept, mass) = (mass < rule.TopP ? q[token] : 0, mass + q[token]);
            q[token] = kept;
        }
        double total = q.Sum();
        bool isAtToken = rig.Guide.Settings.Kind == HeadKind.V;
        double[] weighted = [.. Enumerable.Range(0, q.Length).Select(token => q[token] / total * Math.Exp(TiltOf(rig, rule, isAtToken
            ? TestModels.Outputs(rig.Guide, [.. prefix, token], 0, prefix.Length, token)
            : TestModels.Outputs(rig.Guide, prefix, 0, prefix.Length - 1, token))))];
        double normalizer = weighted.Sum();
        return ([.. weighted.Select(weight => weight / normalizer)], Math.Log(normalizer));
    }

    private static double TiltOf(SamplerRig rig, GuidanceRule rule, double[] valueLogits)
    {
        ReturnFamily family = rig.Family;
        if (family.Kind == FamilyKind.Bernoulli)
        {
            double p = 1 / (1 + Math.Exp(-valueLogits[0]));
            return Math.Log(1 - p + p * Math.Exp(rule.Lambda));
        }
        double[] logs = SamplingOracle.LogSoftmax(valueLogits, 1);
        return Math.Log(logs.Select((log, i) => Math.Exp(log + rule.Lambda * (family.Min + i * (family.Max - family.Min) / (family.Atoms - 1)))).Sum());
    }

    private static void AssertMean(string what, double expected, List<double> values)
    {
        Estimate mean = Estimate.Of(values);
        Assert.True(Math.Abs(mean.Mean - expected) <= 4.5 * mean.Error + 1e-4, $"{what}: {mean.Mean:0.0000} ± {mean.Error:0.0000}, not {expected:0.0000}.");
    }

    /// <summary>χ² with tokens of fewer than five expected draws pooled; the limit is five standard deviations above its mean.</summary>
    private static void AssertFollows(double[] law, int[] counts, string what)
    {
        int n = counts.Sum(), cells = 0;
        double chi = 0, pooledExpected = 0;
        int pooled = 0;
        for (int token = 0; token < law.Length; token++)
        {
            if (law[token] == 0) Assert.Equal(0, counts[token]);
            double expected = n * law[token];
            if (expected < 5)
            {
                pooledExpected += expected;
                pooled += counts[token];
                continue;
            }
            chi += (counts[token] - expected) * (counts[token] - expected) / expected;
            cells++;
        }
        if (pooledExpected > 1)
        {
            chi += (pooled - pooledExpected) * (pooled - pooledExpected) / pooledExpected;
            cells++;
        }
        double freedom = Math.Max(cells - 1, 1);
        Assert.True(cells > 3, $"{what}: only {cells} cells.");
        Assert.True(chi < freedom + 5 * Math.Sqrt(2 * freedom), $"{what}: χ² is {chi:0.0} at {freedom} degrees of freedom.");
    }
}
