using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Figures of a diagnosis (method notes §6), and what a guide is read as saying.</summary>
public sealed class DiagnosisTests
{
    /// <summary>Test vectors of the method notes, §9.2, and the closed form of two returns.</summary>
    [Theory]
    [InlineData(1, 100, 9.9049), InlineData(5, 100, 4.3549), InlineData(20, 100, 1.9995), InlineData(50, 100, 0.99991)]
    public void The_variation_of_weights_is_that_of_the_notes(int successes, int count, double variation)
    {
        PromptSamples prompt = Samples(successes, count);
        double squared = prompt.SquaredVariation(10), p = (double)successes / count;
        Assert.Equal(variation, Math.Sqrt(squared), 1e-3);
        Assert.Equal(p * (1 - p) * Math.Pow((Math.Exp(10) - 1) / (1 - p + p * Math.Exp(10)), 2), squared, 1e-6 * squared);
        // ESS = (Σw)²/Σw², and the relative error of a mean.
        double sum = count - successes + successes * Math.Exp(10), squares = count - successes + successes * Math.Exp(20);
        Assert.Equal(sum * sum / squares, prompt.EffectiveSamples(10), 1e-9);
        Assert.Equal(Math.Sqrt(squared / count), prompt.RelativeError(10), 1e-12);
    }

    [Fact]
    public void A_safe_λ_leaves_a_tenth_of_the_samples_and_is_any_where_successes_are_not_rare()
    {
        double safe = Samples(2, 100).SafeLambda();
        Assert.Equal(10, Samples(2, 100).EffectiveSamples(safe), 1e-6);
        Assert.Equal(double.PositiveInfinity, Samples(20, 100).SafeLambda());
        Assert.Equal(double.PositiveInfinity, Samples(0, 100).SafeLambda());   // all alike: every weight is the same
    }

    /// <summary>Figures of the method notes, §2.4 and §6.</summary>
    [Theory]
    [InlineData(0.01, 0.067), InlineData(0.05, 0.089), InlineData(0.1, 0.123), InlineData(0.3, 0.301)]
    public void The_filter_raises_labels_of_hard_prompts(double rate, double label) => Assert.Equal(label, PromptSamples.KeptLabel(rate, 16), 1e-3);

    [Fact]
    public void Prompts_are_counted_from_the_references_own_samples_alone()
    {
        List<Rollout> rollouts = [];
        void Add(long problem, float lambda, params float[] rewards) =>
            rollouts.AddRange(rewards.Select(reward => new Rollout(problem, rollouts.Count, 1, [0, 1], 1, 0, lambda, reward)));
        Add(7, 0, 0, 0, 0, 0);
        Add(3, 0, 1, 0, 1, 0);
        Add(3, 10, 1, 1, 1, 1);   // of a guided round
        Add(4, 0, 1, 1, 1, 1);
        DataDiagnosis data = new(PromptSamples.Of(rollouts), 10);
        Assert.Equal([3, 4, 7], data.Prompts.Select(prompt => prompt.Problem));
        Assert.Equal((3, 4, 1, 2), (data.Prompts.Count, data.Samples, data.Hopeless, data.Dropped));
        Assert.Equal((0.5, 0.5), data.Labels);
        Assert.DoesNotContain("NaN", data.ToJson().ToJsonString(), StringComparison.Ordinal);
    }

    /// <summary>Token by token through the cache, a response is read as in passes over whole rows; the ends of others change nothing.</summary>
    [Theory, InlineData(HeadKind.V, true), InlineData(HeadKind.V, false), InlineData(HeadKind.Q, false)]
    public void A_guide_is_read_at_every_token_as_it_speaks_while_drawing(HeadKind kind, bool isBidirectional)
    {
        using SamplerRig rig = new("llama", kind, FamilyKind.Categorical, isBidirectional);
        int[] lengths = [4, 1, 6];
        Rollout[] rollouts = [.. lengths.Select((length, i) => new Rollout(
            i, i, 1, [.. SamplerRig.Prompt(i), .. TestModels.RandomTokens(70 + (ulong)i, length, SamplerRig.Vocab)], SamplerRig.Prompt(i).Length, 0, 0, 1))];
        using GuideReader reader = new(rig.Reference, rig.Guide, 4, SamplerRig.PromptTokens, 6);
        int read = 0;
        for (int pass = 0; pass < 2; pass++)
            reader.Read([.. rollouts.Select(rollout => (rollout.Tokens, rollout.PromptLength))], (row, t, logits) =>
            {
                int prompt = rollouts[row].PromptLength, at = prompt + t;
                int[] whole = rollouts[row].Tokens[..(at + 1)];
                double[] expected = TestModels.Outputs(rig.Guide, whole, isBidirectional ? prompt : 0, kind == HeadKind.V ? at : at - 1, whole[^1]);
                for (int i = 0; i < expected.Length; i++) Assert.Equal(expected[i], logits[i], 1e-3);
                read++;
            });
        Assert.Equal(2 * lengths.Sum(), read);
    }

    private static PromptSamples Samples(int successes, int count) => new(0, [.. Enumerable.Range(0, count).Select(i => i < successes ? 1.0 : 0)]);
}
