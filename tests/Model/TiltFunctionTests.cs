using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Functions of the reward: their laws at a prompt (method notes §4.6, §7.2, §7.4), and whole responses tilted by them.</summary>
public sealed class TiltFunctionTests
{
    private static readonly ReturnLaw Law = new([0, 0.25, 0.5, 0.75, 1], [0.3, 0.35, 0.2, 0.1, 0.05]);

    /// <summary>Test vectors of the method notes, §9.2.</summary>
    [Theory]
    [InlineData(0.01, 0.99553, 4.5559), InlineData(0.05, 0.99914, 2.9863), InlineData(0.2, 0.99982, 1.6074), InlineData(0.5, 0.99995, 0.69265)]
    public void A_chance_at_λ_10_has_the_reward_and_KL_of_the_notes(double p, double reward, double kl)
    {
        ReturnLaw law = new([0, 1], [1 - p, p]);
        Assert.Equal(reward, law.At(10).Reward, 5e-6);
        Assert.Equal(kl, law.At(10).Kl, 5e-5);
        Assert.Equal(Math.Log(1 - p + p * Math.Exp(10)), law.At(10).LogMean, 1e-12);
    }

    [Fact]
    public void A_budget_of_KL_and_a_target_are_met_by_their_λ_and_what_is_out_of_reach_gets_nearly_all_there_is()
    {
        foreach (double kl in new[] { 0, 0.01, 0.5, 2 }) Assert.Equal(kl, Law.At(new KlBudgetTilt(kl).Lambda(Law)).Kl, 1e-9);
        foreach (double reward in new[] { 0.05, 0.2, Law.Mean, 0.6, 0.99 }) Assert.Equal(reward, Law.At(new TargetRewardTilt(reward).Lambda(Law)).Reward, 1e-9);
        Assert.True(new TargetRewardTilt(0.05).Lambda(Law) < 0);
        double dear = new KlBudgetTilt(4).Lambda(Law), rich = new TargetRewardTilt(2).Lambda(Law), poor = new TargetRewardTilt(-1).Lambda(Law);
        Assert.Equal(-Math.Log(0.05), Law.At(dear).Kl, 2e-6);   // all there is
        Assert.Equal(1, Law.At(rich).Reward, 2e-6);
        Assert.Equal(0, Law.At(poor).Reward, 2e-6);
        Assert.All(new[] { dear, rich, -poor }, lambda => Assert.InRange(lambda, 20, 100));
        Assert.Equal(0, new KlBudgetTilt(1).Lambda(new ReturnLaw([0, 1], [0, 1])));   // nothing to choose
    }

    [Fact]
    public void The_best_of_n_law_is_that_of_draws_and_keeps_to_its_bound()
    {
        const int Draws = 400_000, N = 4;
        QSharp.Engine.PhiloxStream random = new(7);
        double[] counts = new double[5];
        for (int i = 0; i < Draws; i++)
        {
            int best = 0;
            for (int k = 0; k < N; k++)
            {
                double u = random.NextUniform();
                int atom = 0;
                while (atom < 4 && u >= Law.Probabilities.Take(atom + 1).Sum()) atom++;
                best = Math.Max(best, atom);
            }
            counts[best] += 1.0 / Draws;
        }
        double[] weights = new BestOfTilt(N).LogWeights(Law);
        for (int i = 0; i < 5; i++) Assert.Equal(counts[i], Law.Probabilities[i] * Math.Exp(weights[i]), 3e-3);
        foreach (double n in new[] { 1, 1.5, 4, 37 })
        {
            Prospect prospect = Law.Under(new BestOfTilt(n).LogWeights(Law));
            Assert.Equal(0, prospect.LogMean, 1e-12);
            Assert.InRange(prospect.Kl, 0, Math.Log(n) - (n - 1) / n + 1e-12);
        }
    }

    public static TheoryData<DivergenceTilt, Func<double, double>> Divergences() => new()
    {
        { new AlphaDivergenceTilt("chi2", 2, 0.3), u => (u - 1) * (u - 1) / 2 },
        { new AlphaDivergenceTilt("chi2", 2, 0.05), u => (u - 1) * (u - 1) / 2 },   // bad outcomes get nothing
        { new AlphaDivergenceTilt("hellinger", 0.5, 0.2), u => 2 * (Math.Sqrt(u) - 1) * (Math.Sqrt(u) - 1) },
        { new AlphaDivergenceTilt("reverse-kl", 0, 0.1), u => u - 1 - Math.Log(u) },
        { new AlphaDivergenceTilt("alpha:3", 3, 0.2), u => (u * u * u - 3 * u + 2) / 6 },
        { new JensenShannonTilt(0.1), u => u * Math.Log(u) - (u + 1) * Math.Log((u + 1) / 2) },
    };

    /// <summary>Against 3,000 laws nearby, in E[R] − η·E[f(ratio)] (method notes §9.1).</summary>
    [Theory, MemberData(nameof(Divergences))]
    public void An_f_divergence_has_no_better_law_than_its_own(DivergenceTilt tilt, Func<double, double> f)
    {
        double[] p = [.. Law.Probabilities], ratios = [.. tilt.LogWeights(Law).Select(Math.Exp)];
        Assert.Equal(1, p.Zip(ratios, (a, b) => a * b).Sum(), 1e-9);
        double best = Objective(ratios);
        QSharp.Engine.PhiloxStream random = new(3);
        for (int trial = 0; trial < 3000; trial++)
        {
            double size = Math.Pow(10, -3 * random.NextUniform());
            double[] other = [.. ratios.Select(ratio => Math.Max(ratio, 1e-6) * Math.Exp(size * random.NextNormal()))];
            double mass = p.Zip(other, (a, b) => a * b).Sum();
            Assert.True(Objective([.. other.Select(ratio => ratio / mass)]) <= best + 1e-9, $"{tilt.Name}, trial {trial}");
        }

        double Objective(double[] ratio) =>
            Enumerable.Range(0, 5).Sum(i => p[i] * (ratio[i] * Law.Returns[i] - tilt.Eta * (ratio[i] > 0 ? f(ratio[i]) : f(1e-300))));
    }

    [Fact]
    public void Near_order_1_an_α_divergence_is_the_exponential_tilt()
    {
        Prospect near = Law.Under(new AlphaDivergenceTilt("alpha:1.0001", 1.0001, 0.2).LogWeights(Law)), exponential = Law.At(5);
        Assert.Equal(exponential.Reward, near.Reward, 1e-3);
        Assert.Equal(exponential.Kl, near.Kl, 1e-3);
    }

    /// <summary>A function that is λz draws what the exponential rule draws; one with a law draws by the law that it says it has.</summary>
    [Theory, InlineData(HeadKind.V, FamilyKind.Bernoulli), InlineData(HeadKind.Q, FamilyKind.Categorical)]
    public void A_sampler_tilts_each_prompt_by_the_function_of_its_own_law(HeadKind kind, FamilyKind family)
    {
        using SamplerRig rig = new("llama", kind, family);
        using Guidance fused = new FusedGuidance(rig.Ops), naive = new NaiveGuidance(rig.Ops);
        GuidanceRule weighted = new(Tilt.Weighted, rig.Family, 0, Outside.Min, TopP: 0.9f);
        foreach (Guidance guidance in new[] { fused, naive })
        {
            using PromptLaws reader = new(rig.Reference, rig.Guide, 3, SamplerRig.PromptTokens, SamplerRig.Candidates, 0);   // in two parts
            using Sampler sampler = rig.NewSampler(guidance), plain = rig.NewSampler(guidance);
            SampleBatch batch = rig.NewBatch(), own = rig.NewBatch();
            List<ReturnLaw> laws = reader.Read([.. Enumerable.Range(0, SamplerRig.Rows).Select(SamplerRig.Prompt)], weighted, TestContext.Current.CancellationToken);
            batch.Weights = [.. laws.SelectMany(new KlBudgetTilt(0.02).Weights)];
            SamplerRig.Draw(sampler, batch, weighted);
            for (int row = 0; row < SamplerRig.Rows; row++)
            {
                AssertLaw(rig, row, laws[row]);
                double lambda = new KlBudgetTilt(0.02).Lambda(laws[row]);
                SamplerRig.Draw(plain, own, new GuidanceRule(Tilt.LogMeanExp, rig.Family, (float)lambda, Outside.Min, TopP: 0.9f));
                SamplerRig.AssertSame("λ of its own", batch, row, own, row, 1e-3);
            }
        }
    }

    /// <summary>The q-mean of the candidates' laws, from passes over whole rows.</summary>
    private static void AssertLaw(SamplerRig rig, int row, ReturnLaw law)
    {
        int[] prompt = SamplerRig.Prompt(row);
        double[] logits = TestModels.Outputs(rig.Reference, prompt, 0, prompt.Length - 1, 0);
        bool[] kept = SamplingOracle.TopP(logits, 1, 0.9f);
        int[] candidates = [.. Enumerable.Range(0, SamplerRig.Vocab).Where(token => kept[token]).OrderByDescending(token => logits[token]).Take(SamplerRig.Candidates)];
        double[] expected = new double[rig.Family.Returns];
        double total = candidates.Sum(token => Math.Exp(logits[token]));
        foreach (int token in candidates)
        {
            double[] value = rig.Guide.Settings.Kind == HeadKind.V
                ? TestModels.Outputs(rig.Guide, [.. prompt, token], 0, prompt.Length, token)
                : TestModels.Outputs(rig.Guide, prompt, 0, prompt.Length - 1, token);
            rig.Family.AddLaw([.. value.Select(x => (float)x)], Math.Exp(logits[token]) / total, expected);
        }
        Assert.Equal(1, law.Probabilities.Sum(), 1e-6);
        for (int i = 0; i < expected.Length; i++) Assert.Equal(expected[i], law.Probabilities[i], 1e-4);
    }

    [Fact]
    public void Rejection_draws_by_a_table_too()
    {
        using SamplerRig rig = new("llama", HeadKind.V, FamilyKind.Categorical);
        using Guidance fused = new FusedGuidance(rig.Ops);
        using Sampler sampler = new(rig.Reference, rig.Guide, fused, SamplerRig.Shape with { Candidates = GuideRecipe.AllCandidates }, []);
        SampleBatch exponential = rig.NewBatch(), table = rig.NewBatch();
        SamplerRig.Draw(sampler, exponential, new GuidanceRule(Tilt.LogMeanExp, rig.Family, 3));
        table.Weights = [.. Enumerable.Range(0, SamplerRig.Rows * rig.Family.Returns).Select(i => 3 * rig.Family.Return(i % rig.Family.Returns))];
        SamplerRig.Draw(sampler, table, new GuidanceRule(Tilt.Weighted, rig.Family, 0));
        for (int row = 0; row < SamplerRig.Rows; row++) SamplerRig.AssertSame("table", exponential, row, table, row, 1e-4);
    }
}
