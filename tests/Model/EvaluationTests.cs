using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Figures of an evaluation against hand-made numbers and against counting.</summary>
public sealed class EvaluationTests
{
    /// <summary>Every subset counted, for all n, with equal scores among them.</summary>
    [Fact]
    public void The_best_of_n_is_the_mean_over_all_subsets()
    {
        double[] scores = [0.3, 0.9, 0.1, 0.9, 0.5], values = [1, 0, 1, 1, 0];
        for (int n = 1; n <= 5; n++)
        {
            double sum = 0;
            int count = 0;
            for (int set = 1; set < 32; set++)
            {
                int[] members = [.. Enumerable.Range(0, 5).Where(i => (set >> i & 1) != 0)];
                if (members.Length != n) continue;
                sum += values[members.MaxBy(i => scores[i])];
                count++;
            }
            Assert.Equal(sum / count, Subsets.BestOf(scores, values, n), 1e-12);
        }
    }

    [Fact]
    public void Gains_are_paired_and_means_go_over_problems()
    {
        Evaluation reference = Made([0, 0], [1, 0], [1, 1]), better = Made([1, 0], [1, 1], [1, 1]);
        Assert.Equal(0.5, reference.PassAt1.Mean, 1e-12);
        Assert.Equal(0.5 / Math.Sqrt(3), reference.PassAt1.Error, 1e-12);
        Estimate gain = better.Gain(reference);
        Assert.Equal(1.0 / 3, gain.Mean, 1e-12);
        Assert.Equal(Math.Sqrt((1.0 / 36 + 1.0 / 36 + 1.0 / 9) / 6), gain.Error, 1e-12);   // of 0.5, 0.5 and 0: far less than that of either mean
        Assert.Equal(2.0 / 3, reference.PassAt(2).Mean, 1e-12);
    }

    [Fact]
    public void A_held_out_report_says_what_ranks_and_errors_say()
    {
        HeldOutReport report = HeldOutReport.Of(0.5, 0.7,
        [
            new(0.9f, 1, 0.25f, 0), new(0.6f, 0, 0.25f, 1), new(0.6f, 1, 0.25f, 12), new(0.1f, 0, 0.25f, 2),
        ]);
        Assert.Equal((1 + 1 + 0.5 + 1) / 4, report.Auc, 1e-6);          // pairs of a good and a bad one: three in order, one tie
        Assert.Equal(1, report.EarlyAuc, 1e-6);                          // the tie is past the tenth token
        Assert.Equal((0.01 + 0.36 + 0.16 + 0.01) / 4, report.Brier, 1e-6);
        Assert.Equal((0.5, 0.7), ((double)report.ToJson()["loss"]!, (double)report.ToJson()["constant_loss"]!));
        Assert.Null((report with { ConstantLoss = null }).ToJson()["constant_loss"]);
        double mean = (0.1 - 0.6 + 0.4 - 0.1) / 4;
        double variance = ((0.1 - mean) * (0.1 - mean) + (-0.6 - mean) * (-0.6 - mean) + (0.4 - mean) * (0.4 - mean) + (-0.1 - mean) * (-0.1 - mean)) / 4;
        Assert.Equal(1 - variance / 0.25, report.ExplainedVariance, 1e-6);
        Assert.Equal([0.1, 0.6, 0.9], report.Reliability.Select(bin => Math.Round(bin.Predicted, 4)));
        Assert.Equal(0.5, report.Reliability[1].Actual, 1e-6);
    }

    /// <summary>What the guide thinks of a finished response is its mean return at the last token, from a pass over the whole text.</summary>
    [Theory, InlineData(HeadKind.V), InlineData(HeadKind.Q)]
    public void A_guide_judges_a_response_by_its_last_token(HeadKind kind)
    {
        using SamplerRig rig = new("llama", kind, FamilyKind.Bernoulli);
        using Guidance fused = new FusedGuidance(rig.Ops);
        using Sampler sampler = rig.NewSampler(fused);
        SampleBatch batch = rig.NewBatch();
        SamplerRig.Draw(sampler, batch, GuidanceRule.Reference(1, 1));
        using GuideJudge judge = new(rig.Reference, rig.Guide, SamplerRig.Rows, SamplerRig.PromptTokens + SamplerRig.NewTokens);
        double[] scores = judge.Score([.. Enumerable.Range(0, SamplerRig.Rows).Select(row => (batch.Prompt(row).ToArray(), batch.Response(row).ToArray()))]);
        for (int row = 0; row < SamplerRig.Rows; row++)
        {
            int[] whole = [.. batch.Prompt(row), .. batch.Response(row)];
            int at = kind == HeadKind.V ? whole.Length - 1 : whole.Length - 2;
            double logit = TestModels.Outputs(rig.Guide, whole, 0, at, whole[^1])[0];
            Assert.Equal(1 / (1 + Math.Exp(-logit)), scores[row], 1e-4);
        }
    }

    /// <summary>Policies that take turns on prompts that were read once give what each gives alone, judged by the guide or not.</summary>
    [Theory, InlineData(HeadKind.V, 1), InlineData(HeadKind.Q, 3)]
    public void Policies_that_share_their_prompts_draw_what_each_draws_alone(HeadKind kind, int samples)
    {
        StarGraphTask task = new(new StarGraphSettings(2, 3, 9));
        using QSharp.Engine.CpuDevice device = new(1);
        Ops ops = Ops.For(device);
        TransformerConfig config = TestModels.Config("llama", task.Vocabulary);
        using LanguageModel reference = TestModels.Language(ops, config, 3);
        using ValueModel guide = TestModels.Value(ops, config, new ValueSettings(kind, ReturnFamily.Bernoulli, BidirectionalPrompt: kind == HeadKind.V), 4);
        using Guidance fused = new FusedGuidance(ops);
        Policy[] policies =
        [
            new("reference", double.PositiveInfinity, GuidanceRule.Reference(1, 1)), new("cold", double.PositiveInfinity, GuidanceRule.Reference(0.5f, 1)),
            new("qsharp", 0.5, new GuidanceRule(Tilt.LogMeanExp, ReturnFamily.Bernoulli, 2)), new("cd", 0.2, new GuidanceRule(Tilt.Mean, ReturnFamily.Bernoulli, 5)),
        ];
        Problem[] problems = task.TestProblems(5, 50);
        // Fewer rows than a portion has responses, and fewer in a portion than there are problems.
        Evaluator evaluator = new(task, problems, samples, batchRows: 6, candidates: 4, originTemperature: 0.8f);
        List<Evaluation> together = Run(policies);
        for (int i = 0; i < policies.Length; i++)
        {
            Evaluation alone = Run(policies[i])[0];
            Assert.Equal(50 * samples, alone.Responses.Count);
            Assert.Equal(alone.Responses.Select(each => (each.Problem, each.Sample, string.Join(' ', each.Tokens), each.Reward)),
                together[i].Responses.Select(each => (each.Problem, each.Sample, string.Join(' ', each.Tokens), each.Reward)));
            foreach ((ScoredResponse a, ScoredResponse b) in alone.Responses.Zip(together[i].Responses))
            {
                Assert.Equal(a.Kl, b.Kl, 1e-4);
                Assert.Equal(a.LogRatio, b.LogRatio, 1e-4);
                Assert.Equal(a.Score, b.Score, 1e-4);
            }
        }

        List<Evaluation> Run(params Policy[] some) =>
            evaluator.Run(some, reference, guide, fused, 9, judges: true, new SilentProgress(), TestContext.Current.CancellationToken);
    }

    private static Evaluation Made(params float[][] rewards) => new(
        "x", double.PositiveInfinity, 1, rewards.Length, rewards[0].Length,
        [.. rewards.SelectMany((samples, problem) => samples.Select((reward, sample) => new ScoredResponse(problem, sample, [1], reward, 0, 0, double.NaN, double.NaN)))]);
}
