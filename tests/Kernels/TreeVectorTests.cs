using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Kernels;

/// <summary>Test vectors of the method notes (§9) by the product's own ops, on trees that can be summed over.</summary>
public class TreeVectorTests
{
    private const double Eta = 0.15;

    private static readonly RewardTree Tree = RewardTree.Random(3, 5, ReturnFamily.Categorical(0, 1, 51), 5);

    /// <summary>§9.1: the step-wise policy is the sequence-level optimum, and its KL adds up.</summary>
    [Fact]
    public void Steps_on_exact_values_make_the_optimal_law_of_whole_responses()
    {
        GuidanceRule rule = new(Tilt.LogMeanExp, Tree.Family, (float)(1 / Eta));
        using DecodingRig rig = Tree.Rig(rule, 3);
        double lambda = rule.Lambda;
        double[] reference = Tree.OfLeaves(), policy = Tree.Policy(rig, rule);
        double logMean = SamplingOracle.LogSumExp(Enumerable.Range(0, Tree.Leaves).Select(leaf => reference[leaf] + lambda * Tree.Reward(leaf)));
        for (int leaf = 0; leaf < Tree.Leaves; leaf++)
            Assert.Equal(reference[leaf] + lambda * Tree.Reward(leaf) - logMean, policy[leaf], 2e-5);
        // The fused op's KL of each node, weighted by how often it is reached.
        rig.Fused(rule);
        (double reward, double kl) = Tree.Score(policy);
        double steps = 0;
        for (int node = 0; node < Tree.Inner; node++) steps += Reach(policy, node) * rig.Statistics.Slice(node).Span<float>()[SampleStatistics.Kl];
        Assert.Equal(lambda * reward - logMean, kl, 1e-4);
        Assert.Equal(kl, steps, 1e-4);
        Assert.Equal(logMean, rig.Statistics.Slice(0).Span<float>()[SampleStatistics.LogNormalizer], 1e-5);
        Prospect foretold = ReturnLaw.Of(Tree.Family, Tree.Law(0)).At(lambda);
        Assert.Equal(logMean, foretold.LogMean, 1e-9);
        Assert.Equal(foretold.Reward, reward, 1e-4);
        Assert.Equal(foretold.Kl, kl, 1e-4);
    }

    /// <summary>§9.1: what is left for the tail, from ln W of the prefix, is the tail's own mean.</summary>
    [Fact]
    public void A_token_outside_of_the_candidates_gets_its_exact_tilt_from_the_prefix()
    {
        GuidanceRule rule = new(Tilt.LogMeanExp, Tree.Family, (float)(1 / Eta));
        using DecodingRig all = Tree.Rig(rule, 3), part = Tree.Rig(rule, 2);
        double[] whole = Tree.Policy(all, rule), tail = Tree.Policy(part, rule);
        for (int leaf = 0; leaf < Tree.Leaves; leaf++) Assert.Equal(whole[leaf], tail[leaf], 2e-3);
    }

    /// <summary>§7.3: whatever the guide, weights have the mean W, and the certificate is η·KL(π ‖ π*).</summary>
    [Fact]
    public void The_certificate_of_a_wrong_guide_is_its_KL_from_the_optimum()
    {
        const int Samples = 60_000;
        GuidanceRule rule = new(Tilt.LogMeanExp, Tree.Family, (float)(1 / Eta));
        using DecodingRig rig = Tree.Rig(rule, 3, noise: 1.5);
        double lambda = rule.Lambda;
        double[] reference = Tree.OfLeaves(), policy = Tree.Policy(rig, rule), p = [.. policy.Select(Math.Exp)];
        double logMean = SamplingOracle.LogSumExp(Enumerable.Range(0, Tree.Leaves).Select(leaf => reference[leaf] + lambda * Tree.Reward(leaf)));
        double optimum = Enumerable.Range(0, Tree.Leaves).Sum(leaf => Math.Exp(reference[leaf] + lambda * Tree.Reward(leaf) - logMean) * Tree.Reward(leaf));
        double regret = Enumerable.Range(0, Tree.Leaves).Sum(leaf => p[leaf] * (policy[leaf] - (reference[leaf] + lambda * Tree.Reward(leaf) - logMean))) / lambda;
        (double reward, double kl) = Tree.Score(policy);
        Assert.Equal(logMean / lambda - (reward - kl / lambda), regret, 1e-4);   // V* − J
        Assert.True(regret > 0.01, $"The guide is too good for a test: {regret}.");

        QSharp.Engine.PhiloxStream random = new(8);
        double[] upTo = new double[p.Length];
        for (int leaf = 0; leaf < p.Length; leaf++) upTo[leaf] = p[leaf] + (leaf > 0 ? upTo[leaf - 1] : 0);
        Evaluation drawn = new("qsharp", 1 / lambda, 1, 1, Samples,
        [
            .. Enumerable.Range(0, Samples).Select(sample =>
            {
                int leaf = Array.BinarySearch(upTo, random.NextUniform() * upTo[^1]) is var at && at < 0 ? ~at : at;
                return new ScoredResponse(0, sample, [leaf], (float)Tree.Reward(leaf), 0, 0, double.NaN, double.NaN) { LogTilt = policy[leaf] - reference[leaf] };
            }),
        ]);
        Certificate certificate = Certificate.Of(drawn)!;
        Assert.InRange(certificate.LogMean.Error, 1e-4, 0.05);
        Assert.Equal(logMean, certificate.LogMean.Mean, 4 * certificate.LogMean.Error);
        Assert.InRange(certificate.Regret.Error, 1e-5, 0.01);
        Assert.Equal(regret, certificate.Regret.Mean, 4 * certificate.Regret.Error);
        Assert.Equal(optimum, certificate.Reward, 0.01);
        Assert.InRange(certificate.EffectiveShare, 0.05, 0.95);
    }

    /// <summary>§4.6: the law of χ², step by step, is ζ of the reward, and none of 3,000 others has a higher objective.</summary>
    [Fact]
    public void The_tilt_of_chi2_beats_other_policies()
    {
        AlphaDivergenceTilt tilt = new("chi2", 2, 0.2);
        double[] h = tilt.LogWeights(ReturnLaw.Of(Tree.Family, Tree.Law(0)));
        GuidanceRule rule = new(Tilt.Weighted, Tree.Family, 0);
        using DecodingRig rig = Tree.Rig(rule, 3, h);
        double[] reference = Tree.OfLeaves(), policy = Tree.Policy(rig, rule);
        for (int leaf = 0; leaf < Tree.Leaves; leaf++)
        {
            double zeta = h[(int)Math.Round(Tree.Reward(leaf) * 50)];
            if (double.IsNegativeInfinity(zeta)) Assert.Equal(0, Math.Exp(policy[leaf]), 1e-12);
            else Assert.Equal(zeta, policy[leaf] - reference[leaf], 5e-5);
        }
        double best = Objective(policy);
        QSharp.Engine.PhiloxStream random = new(4);
        for (int trial = 0; trial < 3000; trial++)
        {
            double size = Math.Pow(10, -3 * random.NextUniform());
            double[] noisy = [.. policy.Select((log, leaf) => Math.Max(log, reference[leaf] - 12) + size * random.NextNormal())];
            Assert.True(Objective(SamplingOracle.LogSoftmax(noisy, 1)) <= best + 1e-5);
        }

        double Objective(double[] log) => Enumerable.Range(0, Tree.Leaves).Sum(leaf =>
            Math.Exp(log[leaf]) * Tree.Reward(leaf) - tilt.Eta * Math.Exp(reference[leaf]) * Math.Pow(Math.Exp(log[leaf] - reference[leaf]) - 1, 2) / 2);
    }

    /// <summary>§7.4: the best of n, token by token.</summary>
    [Theory, InlineData(2), InlineData(8), InlineData(2.5)]
    public void The_best_of_n_has_the_nth_power_of_the_distribution_function(double n)
    {
        double[] root = Tree.Law(0), h = new BestOfTilt(n).LogWeights(ReturnLaw.Of(Tree.Family, root));
        GuidanceRule rule = new(Tilt.Weighted, Tree.Family, 0);
        using DecodingRig rig = Tree.Rig(rule, 3, h);
        double[] policy = Tree.Policy(rig, rule);
        for (int atom = 0; atom < 51; atom++)
        {
            double below = Enumerable.Range(0, Tree.Leaves).Where(leaf => Tree.Reward(leaf) < (atom + 0.5) / 50).Sum(leaf => Math.Exp(policy[leaf]));
            Assert.Equal(Math.Pow(root.Take(atom + 1).Sum(), n), below, 2e-5);
        }
        Assert.True(Tree.Score(policy).Kl <= Math.Log(n) - (n - 1) / n + 1e-5);
    }

    /// <summary>§9.4, row by row: P(left), E[R], KL and J of controlled decoding and of Q♯.</summary>
    [Theory]
    [InlineData(1, 0.5125, 0.1123, 0.0211, 0.0911, 0.5044, 0.1125, 0.0212, 0.0912)]
    [InlineData(0.2, 0.5622, 0.4444, 1.0182, 0.2407, 0.1646, 0.7571, 2.1741, 0.3223)]
    [InlineData(0.1, 0.6225, 0.4395, 1.1577, 0.3237, 0.00246, 0.9969, 3.6548, 0.6314)]
    [InlineData(0.05, 0.7311, 0.3420, 0.9166, 0.2962, 3.0e-7, 1, 3.6889, 0.8156)]
    [InlineData(0.01, 0.9933, 0.1060, 0.6730, 0.0993, 0, 1, 3.6889, 0.9631)]
    public void The_tree_of_theorem_4_1(
        double eta, double leftOfCd, double rewardOfCd, double klOfCd, double valueOfCd, double left, double reward, double kl, double value)
    {
        // Both ways from the left node pay 0.1; to the right one way in twenty pays 1.
        RewardTree tree = new(2, [[0.5, 0.5], [0.5, 0.5], [0.05, 0.95]], [1, 1, 10, 0], ReturnFamily.Categorical(0, 1, 11));
        double ofCd = Check(Tilt.Mean, leftOfCd, rewardOfCd, klOfCd, valueOfCd), ofQSharp = Check(Tilt.LogMeanExp, left, reward, kl, value);
        Assert.True(ofQSharp >= ofCd);

        double Check(Tilt tilt, double expectedLeft, double expectedReward, double expectedKl, double expectedValue)
        {
            GuidanceRule rule = new(tilt, tree.Family, (float)(1 / eta));
            using DecodingRig rig = tree.Rig(rule, 2);
            double[] policy = tree.Policy(rig, rule);
            (double r, double k) = tree.Score(policy);
            double tolerance = 6e-5;   // of figures with four digits
            Assert.Equal(expectedLeft, Math.Exp(policy[0]) + Math.Exp(policy[1]), expectedLeft < 0.01 ? Math.Max(expectedLeft * 0.03, 1e-8) : tolerance);
            Assert.Equal(expectedReward, r, tolerance);
            Assert.Equal(expectedKl, k, tolerance);
            Assert.Equal(expectedValue, r - eta * k, tolerance);
            return r - eta * k;
        }
    }

    /// <summary>How likely a policy's response goes through a node.</summary>
    private static double Reach(double[] logPolicy, int node)
    {
        double sum = 0;
        for (int leaf = 0; leaf < Tree.Leaves; leaf++)
            for (int at = Tree.Inner + leaf; ; at = (at - 1) / 3)
            {
                if (at == node) sum += Math.Exp(logPolicy[leaf]);
                if (at == 0) break;
            }
        return sum;
    }
}
