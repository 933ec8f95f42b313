using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>A guide that has learned what prompts themselves are worth: the tail of the first token, and laws at prompts.</summary>
public sealed class PromptValueTests
{
    public static TheoryData<FamilyKind, bool> Guides() => new() { { FamilyKind.Bernoulli, false }, { FamilyKind.Categorical, false }, { FamilyKind.Bernoulli, true } };

    [Theory, MemberData(nameof(Guides))]
    public void The_first_token_is_drawn_with_the_value_of_the_prompt(FamilyKind family, bool isBidirectional)
    {
        using SamplerRig rig = new("llama", HeadKind.V, family, isBidirectional, hasPromptValue: true);
        using SamplerRig plain = new("llama", HeadKind.V, family, isBidirectional);
        using Guidance fused = new FusedGuidance(rig.Ops), naive = new NaiveGuidance(rig.Ops), other = new FusedGuidance(plain.Ops);
        double[] weights = [.. Enumerable.Range(0, rig.Family.Returns).Select(i => 2.0 * i * i / rig.Family.Returns)];
        foreach (Tilt tilt in (Tilt[])[Tilt.LogMeanExp, Tilt.Mean, Tilt.Weighted])
        {
            GuidanceRule rule = new(tilt, rig.Family, tilt == Tilt.Weighted ? 0 : 3, Temperature: 0.8f);
            SampleBatch without = Draw(plain, other, rule);
            foreach (Guidance guidance in (Guidance[])[fused, naive])
            {
                SampleBatch with = Draw(rig, guidance, rule);
                for (int row = 0; row < SamplerRig.Rows; row++)
                {
                    int[] prompt = SamplerRig.Prompt(row);
                    double[] value = TestModels.Outputs(rig.Guide, prompt, isBidirectional ? prompt.Length : 0, prompt.Length - 1, prompt[^1]);
                    double tiltOfPrompt = SamplingOracle.Tilt(value, rig.Family, tilt, rule.Lambda, tilt == Tilt.Weighted ? weights : null);
                    GuidedStep step = rig.Exact(rule, prompt, prompt.Length, tiltOfPrompt, SamplerRig.Stream(row), 0, tilt == Tilt.Weighted ? weights : null);
                    if (step.Gap > 1e-3) Assert.Equal(step.Next, with.Response(row)[0]);
                    if (step.Next != with.Response(row)[0]) continue;   // a tie to rounding
                    for (int i = 0; i < SampleStatistics.Count; i++)
                        Assert.Equal(step.Statistics[i], SamplerRig.Statistics(with, row, 0)[i], 1e-3 * Math.Max(1, Math.Abs(step.Statistics[i])));
                    Assert.NotEqual(0, SamplerRig.Statistics(with, row, 0)[SampleStatistics.Residual]);
                    Assert.Equal(0, SamplerRig.Statistics(without, row, 0)[SampleStatistics.Residual]);   // nothing was promised
                }
            }
        }

        SampleBatch Draw(SamplerRig on, Guidance guidance, GuidanceRule rule)
        {
            using Sampler sampler = on.NewSampler(guidance);
            SampleBatch batch = on.NewBatch();
            if (rule.Tilt == Tilt.Weighted) batch.Weights = [.. Enumerable.Repeat(weights, SamplerRig.Rows).SelectMany(row => row.Select(h => (float)h))];
            SamplerRig.Draw(sampler, batch, rule);
            return batch;
        }
    }

    /// <summary>A head whose value of the prompt is the mean of those of the tokens that may follow, to the last bit of fp32.</summary>
    [Fact]
    public void With_an_exact_head_the_tail_of_the_first_token_is_the_tails_true_mean()
    {
        const int rows = 400, k = 2;
        const float lambda = 3;
        using SamplerRig rig = new("llama", HeadKind.V, FamilyKind.Bernoulli);
        int[] prompt = SamplerRig.Prompt(1);
        double[] logits = TestModels.Outputs(rig.Reference, prompt, 0, prompt.Length - 1, 0), q = [.. SamplingOracle.LogSoftmax(logits, 1).Select(Math.Exp)];
        int last = prompt[^1];
        double[] chances = [.. Enumerable.Range(0, SamplerRig.Vocab).Select(token => (1 + token * 7 % SamplerRig.Vocab) / 40.0)];
        // The prompt's last token may follow too, and then has the prompt's value: p = Σ q(y) p(y) with p(last) = p.
        chances[last] = Enumerable.Range(0, chances.Length).Where(token => token != last).Sum(token => q[token] * chances[token]) / (1 - q[last]);
        int[] outside = [.. Enumerable.Range(0, SamplerRig.Vocab).OrderByDescending(token => logits[token]).Skip(k)];
        double tail = Math.Log(outside.Sum(token => q[token] * W(token)) / outside.Sum(token => q[token])), whole = Math.Log(q.Zip(chances.Select((_, token) => W(token)), (a, b) => a * b).Sum());
        foreach (bool knowsPrompts in (bool[])[true, false])
        {
            using ValueModel guide = ByToken(rig.Ops, rig.Guide.Config, chances, knowsPrompts);
            using Guidance fused = new FusedGuidance(rig.Ops);
            using Sampler sampler = new(rig.Reference, guide, fused, new SamplerShape(rows, prompt.Length, 1, k), []);
            SampleBatch batch = new(rows, prompt.Length, 1);
            for (int row = 0; row < rows; row++) batch.Add(prompt, 1, row);
            SamplerRig.Draw(sampler, batch, new GuidanceRule(Tilt.LogMeanExp, rig.Family, lambda));
            float[][] drawn = [.. Enumerable.Range(0, rows).Where(row => outside.Contains(batch.Response(row)[0])).Select(row => SamplerRig.Statistics(batch, row, 0).ToArray())];
            Assert.True(drawn.Length > 20, $"{drawn.Length} tokens from outside of the candidates.");
            foreach (float[] each in drawn)
            {
                double own = each[SampleStatistics.LogPolicy] - each[SampleStatistics.LogReference] + each[SampleStatistics.LogNormalizer];
                if (knowsPrompts) Assert.Equal(tail, own, 1e-4);
                else Assert.True(Math.Abs(own - tail) > 0.1, $"The candidates' mean {own} is the tail's, so that nothing is shown.");
                if (knowsPrompts) Assert.Equal(whole, each[SampleStatistics.LogNormalizer], 1e-4);
            }
        }

        double W(int token) => 1 - chances[token] + chances[token] * Math.Exp(lambda);
    }

    [Theory, MemberData(nameof(Guides))]
    public void The_law_at_a_prompt_is_what_the_guide_says_there(FamilyKind family, bool isBidirectional)
    {
        using SamplerRig rig = new("gpt2", HeadKind.V, family, isBidirectional, hasPromptValue: true);
        using PromptLaws reader = new(rig.Reference, rig.Guide, 3, SamplerRig.PromptTokens, SamplerRig.Candidates, 0);   // in two parts
        List<ReturnLaw> laws = reader.Read([.. Enumerable.Range(0, SamplerRig.Rows).Select(SamplerRig.Prompt)], GuidanceRule.Reference(), TestContext.Current.CancellationToken);
        for (int row = 0; row < SamplerRig.Rows; row++)
        {
            int[] prompt = SamplerRig.Prompt(row);
            double[] value = TestModels.Outputs(rig.Guide, prompt, isBidirectional ? prompt.Length : 0, prompt.Length - 1, prompt[^1]), expected = new double[rig.Family.Returns];
            rig.Family.AddLaw([.. value.Select(x => (float)x)], 1, expected);
            for (int i = 0; i < expected.Length; i++) Assert.Equal(expected[i], laws[row].Probabilities[i], 1e-4);
        }
    }

    /// <summary>
    /// A guide whose value is a function of the last token alone: its blocks add nothing, so a token's state is its own row √C·(cos θ, sin θ,
    /// 0 …), which the norm leaves as it is, and the head reads the cosine.
    /// </summary>
    private static ValueModel ByToken(Ops ops, TransformerConfig config, double[] chances, bool hasPromptValue)
    {
        const double steepness = 8;
        ValueModel guide = new(ops, config, new ValueSettings(HeadKind.V, ReturnFamily.Bernoulli, BidirectionalPrompt: false) { HasPromptValue = hasPromptValue });
        foreach ((string name, QSharp.Engine.Tensor value, _) in guide.Weights.Named) value.Span<float>().Fill(name.Contains("norm") ? 1 : 0);
        double length = Math.Sqrt(config.Width);
        for (int token = 0; token < chances.Length; token++)
        {
            double angle = Math.Acos(Math.Log(chances[token] / (1 - chances[token])) / steepness);
            Span<float> row = guide.Weights.Tokens.Range(token, 1).Span<float>();
            (row[0], row[1]) = ((float)(length * Math.Cos(angle)), (float)(length * Math.Sin(angle)));
        }
        guide.Weights.Head.Span<float>()[0] = (float)(steepness / length);
        return guide;
    }
}
