using QSharp.Engine;
using QSharp.Kernels;

using Xunit;

namespace QSharp.Tests.Kernels;

/// <summary>Tilts by a table of log-weights: any function of the reward.</summary>
public class WeightedTiltTests
{
    private const float None = float.NegativeInfinity;

    private static readonly ReturnFamily Categorical = ReturnFamily.Categorical(-0.5f, 1, 7);

    [Theory]
    [InlineData(Outside.Martingale, Order.TemperThenTilt, 6f)]
    [InlineData(Outside.Min, Order.TiltThenTemper, 6f)]
    [InlineData(Outside.Martingale, Order.TemperThenTilt, -4f)]
    public void A_table_of_λz_is_the_exponential_tilt_whatever_λ_a_row_has(Outside outside, Order order, float lambda)
    {
        foreach (ReturnFamily family in new[] { ReturnFamily.Bernoulli, Categorical })
        {
            using DecodingRig rig = new(24, 300, 12, family);
            rig.Draw(21, lambda);
            int[] next = new int[rig.Rows];
            float[] statistics = new float[rig.Rows * SampleStatistics.Count];
            for (int row = 0; row < rig.Rows; row++)
            {
                float own = lambda * (1 + row % 3);
                for (int i = 0; i < family.Returns; i++) rig.Weights.Slice(row).Span<float>()[i] = own * family.Return(i);
                rig.Fused(new GuidanceRule(Tilt.LogMeanExp, family, own, outside, 0.8f, 0.9f, order));
                next[row] = rig.Next.Span<int>()[row];
                rig.Statistics.Slice(row).Span<float>().CopyTo(statistics.AsSpan(row * SampleStatistics.Count));
            }
            rig.Fused(new GuidanceRule(Tilt.Weighted, family, 0, outside, 0.8f, 0.9f, order));
            Assert.Equal(next, rig.Next.Span<int>().ToArray());
            float[] weighted = rig.Statistics.Span<float>().ToArray();
            for (int i = 0; i < weighted.Length; i++) Assert.Equal(statistics[i], weighted[i], 2e-5f * MathF.Max(1, MathF.Abs(statistics[i])));
        }
    }

    /// <summary>Conditioning on success: π ∝ π_ref · P(Z ≥ c), whatever is outside of the candidates cut off.</summary>
    [Fact]
    public void A_threshold_conditions_on_reaching_it()
    {
        using DecodingRig rig = new(40, 60, 9, Categorical);
        rig.Draw(5, 1);
        for (int row = 0; row < rig.Rows; row++)
            for (int i = 0; i < Categorical.Returns; i++) rig.Weights.Slice(row).Span<float>()[i] = i >= 4 ? 0 : None;
        rig.Fused(new GuidanceRule(Tilt.Weighted, Categorical, 0, Outside.Truncate));
        for (int row = 0; row < rig.Rows; row++)
        {
            double[] logits = [.. rig.Logits.Slice(row).Span<float>().ToArray().Select(x => (double)x)], q = SamplingOracle.LogSoftmax(logits, 1);
            double total = 0, drawn = 0;
            for (int k = 0; k < rig.K; k++)
            {
                double[] law = SamplingOracle.LogSoftmax([.. rig.ValueLogits.Slice(row).Slice(k).Span<float>().ToArray().Select(x => (double)x)], 1);
                int token = rig.Candidates.Slice(row).Span<int>()[k];
                double weight = Math.Exp(q[token]) * law[4..].Sum(Math.Exp);
                total += weight;
                if (token == rig.Next.Span<int>()[row]) drawn = weight;
            }
            Assert.Equal(Math.Log(drawn / total), rig.Statistics.Slice(row).Span<float>()[SampleStatistics.LogPolicy], 1e-5);
            Assert.InRange(rig.Statistics.Slice(row).Span<float>()[SampleStatistics.TiltedMean], Categorical.Return(4), Categorical.Return(6));
        }
    }

    [Theory]
    [InlineData(Outside.Truncate, Order.TemperThenTilt)]
    [InlineData(Outside.Truncate, Order.TiltThenTemper)]
    [InlineData(Outside.Martingale, Order.TemperThenTilt)]
    public void A_row_that_the_tilt_leaves_without_weight_is_drawn_from_the_reference_and_says_so(Outside outside, Order order)
    {
        using DecodingRig rig = new(60, 80, 8, Categorical);
        rig.Draw(9, 1);
        rig.Prefix.Span<float>().Fill(float.NaN);
        for (int row = 0; row < rig.Rows; row += 2) rig.Weights.Slice(row).Span<float>().Fill(None);
        rig.FusedWithoutValues(GuidanceRule.Reference(0.8f, 0.9f));
        (int[] next, _, float[] reference) = rig.Result();
        GuidanceRule rule = new(Tilt.Weighted, Categorical, 0, outside, 0.8f, 0.9f, order);
        for (int pass = 0; pass < 2; pass++)
        {
            if (pass == 0) rig.Fused(rule);
            else rig.Naive(rule);
            for (int row = 0; row < rig.Rows; row += 2)
            {
                Span<float> statistics = rig.Statistics.Slice(row).Span<float>();
                Assert.Equal(next[row], rig.Next.Span<int>()[row]);
                Assert.Equal(reference[row * SampleStatistics.Count], statistics[SampleStatistics.LogPolicy], 1e-5f);
                Assert.Equal(0, statistics[SampleStatistics.Kl], 1e-5f);
                Assert.Equal(0, statistics[SampleStatistics.LogNormalizer], 1e-5f);
                Assert.True(float.IsNaN(statistics[SampleStatistics.Residual]) && float.IsNaN(statistics[SampleStatistics.ChosenTilt]));
            }
        }
    }

    /// <summary>Where one of two log-weights is −∞ or far below the other, ln p must survive.</summary>
    [Theory]
    [InlineData(None, 0f), InlineData(0f, None), InlineData(-1e6f, 0f), InlineData(0f, -1e6f), InlineData(None, 3f), InlineData(2f, -1f), InlineData(None, None)]
    public void Two_weights_keep_their_precision(float failure, float success)
    {
        using DecodingRig rig = new(1, 8, 1, ReturnFamily.Bernoulli);
        (rig.Weights.Span<float>()[0], rig.Weights.Span<float>()[1]) = (failure, success);
        foreach (float logit in new[] { -40f, -9f, -0.3f, 0, 0.7f, 12, 40 })
        {
            rig.ValueLogits.Span<float>()[0] = logit;
            rig.Ops.AtomTilt(rig.ValueLogits, ReturnFamily.Bernoulli, Tilt.Weighted, 0, rig.Weights, rig.Statistics.As(9).Range(0, 1));
            double exact = SamplingOracle.Tilt([logit], ReturnFamily.Bernoulli, Tilt.Weighted, 0, [failure, success]);
            float g = rig.Statistics.Span<float>()[0];
            Assert.True(g == exact || Math.Abs(g - exact) <= 2e-6 * Math.Max(1e-3, Math.Abs(exact)), $"ℓ = {logit}: {g}, exactly {exact}");
        }
    }

    [Fact]
    public void Weights_are_asked_for_by_a_weighted_tilt_and_by_no_other()
    {
        using DecodingRig rig = new(2, 8, 2, Categorical);
        rig.Draw(1, 1);
        Tensor g = rig.Statistics.As(2 * SampleStatistics.Count).Range(0, 4).As((2, 2));
        rig.Ops.AtomTilt(rig.ValueLogits, Categorical, Tilt.Weighted, 1, rig.Weights, g);
        foreach ((Tilt tilt, Tensor weights) in new[] { (Tilt.Weighted, Tensor.None), (Tilt.LogMeanExp, rig.Weights), (Tilt.Weighted, rig.Prefix) })
            Assert.Throws<ArgumentException>(() => rig.Ops.AtomTilt(rig.ValueLogits, Categorical, tilt, 1, weights, g));
    }
}
