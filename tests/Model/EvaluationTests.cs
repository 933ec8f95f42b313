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

    /// <summary>With the same noise samples are paired; what one problem makes of all its samples has no known error.</summary>
    [Fact]
    public void Of_one_problem_gains_are_paired_by_sample_and_other_errors_are_not_known()
    {
        Evaluation reference = Made([0, 0, 1, 1]), better = Made([1, 0, 1, 1]);
        Assert.Equal(new Estimate(0.25, 0.25), better.Gain(reference));
        Assert.Equal("0.250 ± 0.250", better.Gain(reference).ToString());
        Assert.Equal(new Estimate(1, double.NaN), better.PassAt(3));
        Assert.Equal("1.000 ± –", better.PassAt(3).ToString());
        Assert.Equal(new Estimate(1, double.NaN), Made([1]).PassAt1);
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
    [Theory, InlineData(HeadKind.V, false), InlineData(HeadKind.V, true), InlineData(HeadKind.Q, false)]
    public void A_guide_judges_a_response_by_its_last_token(HeadKind kind, bool isBidirectional)
    {
        using SamplerRig rig = new("llama", kind, FamilyKind.Bernoulli, isBidirectional);
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
            double logit = TestModels.Outputs(rig.Guide, whole, isBidirectional ? batch.Prompt(row).Length : 0, at, whole[^1])[0];
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
        Evaluator evaluator = new(task, problems, samples, batchRows: 6, candidates: 4, GuidanceRule.Reference(0.8f));
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

    /// <summary>ln π − ln of the data's π_ref, whose tokens outside of its top-p set are never drawn; what is taken greedily has ln π = 0.</summary>
    [Theory, InlineData(0.8f), InlineData(0.5f), InlineData(1.5f), InlineData(0f)]
    public void The_KL_from_the_datas_reference_counts_its_temperature_and_top_p(float temperature)
    {
        using StarGraphRig rig = new();
        GuidanceRule origin = GuidanceRule.Reference(0.8f, 0.9f), rule = GuidanceRule.Reference(temperature, 0.9f);
        Evaluation evaluation = rig.Run([new Policy("reference", double.PositiveInfinity, rule)], 4, origin)[0];
        int infinite = 0;
        foreach (ScoredResponse response in evaluation.Responses)
        {
            double expected = (temperature == 0 ? 0 : rig.LogProb(rig.Reference, response, rule)) - rig.LogProb(rig.Reference, response, origin);
            if (double.IsInfinity(expected)) infinite++;
            Assert.Equal(expected, response.LogRatio, 1e-4);
        }
        if (temperature == 0.8f) Assert.All(evaluation.Responses, response => Assert.Equal(0, response.LogRatio));
        Assert.Equal(temperature > 0.8f, infinite > 0);
        Assert.Equal(temperature > 0.8f, double.IsInfinity(evaluation.KlOrigin!.Value.Mean));
    }

    /// <summary>Without a value at the prompt, the law there is a mean over π_ref's first tokens at the policy's own temperature.</summary>
    [Fact]
    public void A_function_of_the_reward_is_foretold_at_each_temperature_by_its_own_law()
    {
        using StarGraphRig rig = new();
        Policy[] policies = [.. new[] { 0.3f, 2 }.Select(temperature =>
            new Policy("qsharp", double.NaN, new GuidanceRule(Tilt.Weighted, ReturnFamily.Bernoulli, 0, Temperature: temperature)) { Function = new KlBudgetTilt(0.02) })];
        List<Evaluation> together = rig.Run(policies, 1);
        for (int i = 0; i < policies.Length; i++)
        {
            Evaluation alone = rig.Run([policies[i]], 1)[0];
            Assert.Equal(alone.Foretold, together[i].Foretold);
            Assert.Equal(alone.Responses.Select(response => response.Kl), together[i].Responses.Select(response => response.Kl));
        }
        Assert.True(Math.Abs(together[0].Foretold!.Lambda - together[1].Foretold!.Lambda) > 1e-3);
    }

    /// <summary>A policy is compared with all of π_ref at the temperature that it is drawn at, by the law that it is drawn from.</summary>
    [Theory, InlineData(0.7f, 0.8f), InlineData(0f, 1f)]
    public void A_policys_KL_is_of_the_law_that_is_drawn_from(float temperature, float topP)
    {
        using StarGraphRig rig = new();
        using TemporaryFolder folder = new();
        using LanguageModel policy = TestModels.Language(rig.Reference.Ops, rig.Reference.Config, 5);
        using Guidance fused = new FusedGuidance(rig.Reference.Ops);
        GuideRecipe recipe = StarGraphRecipe.For(2, 3).Guide with { Temperature = temperature, TopP = topP };
        Experiment experiment = new(rig.Reference.Ops, rig.Task, recipe, 1, 6, new SilentProgress(), TestContext.Current.CancellationToken);
        Evaluation evaluation = experiment.EvaluatePolicy("policy", policy, rig.Reference, rig.Problems, fused, new PhaseClock(), folder["responses.bin"]);
        foreach (ScoredResponse response in evaluation.Responses)
        {
            double drawn = temperature == 0 ? 0 : rig.LogProb(policy, response, recipe.Reference);
            Assert.Equal(drawn - rig.LogProb(rig.Reference, response, GuidanceRule.Reference(temperature == 0 ? 1 : temperature)), response.Kl, 1e-4);
            Assert.Equal(0, response.KlFloor);
        }
    }

    [Fact]
    public void Of_tokens_drawn_by_rejection_no_certificate_is_made()
    {
        using StarGraphRig rig = new();
        Policy policy = new("qsharp", 0.5, new GuidanceRule(Tilt.LogMeanExp, ReturnFamily.Bernoulli, 2));
        Evaluation exact = rig.Run([policy], 2)[0], drawn = rig.Run([policy], 2, candidates: GuideRecipe.AllCandidates)[0];
        Assert.Equal((false, true), (exact.IsDrawnByRejection, drawn.IsDrawnByRejection));
        Assert.NotNull(Certificate.Of(exact));
        Assert.Null(Certificate.Of(drawn));
        Assert.Null(Certificate.Of(rig.Run([policy], 1)[0]));
    }

    private static Evaluation Made(params float[][] rewards) => new(
        "x", double.PositiveInfinity, 1, rewards.Length, rewards[0].Length,
        [.. rewards.SelectMany((samples, problem) => samples.Select((reward, sample) => new ScoredResponse(problem, sample, [1], reward, 0, 0, double.NaN, double.NaN)))]);

    /// <summary>Random models on a few star graphs.</summary>
    private sealed class StarGraphRig : IDisposable
    {
        private readonly QSharp.Engine.CpuDevice _device = new(1);
        private readonly ValueModel _guide;

        public StarGraphRig()
        {
            Ops ops = Ops.For(_device);
            TransformerConfig config = TestModels.Config("llama", Task.Vocabulary);
            Reference = TestModels.Language(ops, config, 3);
            // Wide logits of a tied head hide what temperatures do.
            foreach (ref float weight in Reference.Weights.FinalNorm.Span<float>()) weight *= 0.4f;
            _guide = TestModels.Value(ops, config, new ValueSettings(HeadKind.V, ReturnFamily.Bernoulli, BidirectionalPrompt: false), 4);
            Problems = Task.TestProblems(5, 9);
        }

        public StarGraphTask Task { get; } = new(new StarGraphSettings(2, 3, 9));

        public LanguageModel Reference { get; }

        public Problem[] Problems { get; }

        public List<Evaluation> Run(IReadOnlyList<Policy> policies, int samples, GuidanceRule? origin = null, int candidates = 4)
        {
            using Guidance fused = new FusedGuidance(Reference.Ops);
            return new Evaluator(Task, Problems, samples, batchRows: 6, candidates, origin)
                .Run(policies, Reference, _guide, fused, 9, judges: false, new SilentProgress(), TestContext.Current.CancellationToken);
        }

        /// <summary>In float64, by passes over whole rows; −∞ where a token is outside of the top-p set.</summary>
        public double LogProb(LanguageModel model, ScoredResponse response, GuidanceRule rule)
        {
            int[] prompt = Problems[response.Problem].Prompt, whole = [.. prompt, .. response.Tokens];
            double sum = 0;
            for (int at = prompt.Length; at < whole.Length; at++)
            {
                double[] logits = TestModels.Outputs(model, whole[..at], 0, at - 1, 0);
                bool[] kept = SamplingOracle.TopP(logits, rule.Temperature, rule.TopP);
                sum += SamplingOracle.LogSoftmax([.. logits.Select((logit, token) => kept[token] ? logit : double.NegativeInfinity)], rule.Temperature)[whole[at]];
            }
            return sum;
        }

        public void Dispose()
        {
            _guide.Dispose();
            Reference.Dispose();
            _device.Dispose();
        }
    }
}
