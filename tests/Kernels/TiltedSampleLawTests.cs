using QSharp.Engine;
using QSharp.Kernels;

using Xunit;

namespace QSharp.Tests.Kernels;

/// <summary>Invariances and vectors of the method notes (§9), broken input, and the promise to allocate nothing.</summary>
public class TiltedSampleLawTests
{
    [Fact]
    public void A_constant_on_all_logits_changes_nothing()
    {
        foreach (Order order in Enum.GetValues<Order>())
        {
            GuidanceRule rule = new(Tilt.LogMeanExp, ReturnFamily.Bernoulli, 5, Outside.Martingale, 0.8f, 0.9f, order);
            using DecodingRig rig = new(30, 200, 10, ReturnFamily.Bernoulli);
            rig.Draw(3, 5);
            foreach (ref float logit in rig.Logits.Span<float>()) logit = MathF.Round(logit * 256) / 256;   // so that the sum is exact
            rig.Ops.TopK(rig.Logits, rig.Candidates, Tensor.None);
            rig.Fused(rule);
            (int[] next, int[] chosen, float[] statistics) = rig.Result();
            foreach (ref float logit in rig.Logits.Span<float>()) logit += 512;
            rig.Fused(rule);
            Assert.Equal(next, rig.Next.Span<int>().ToArray());
            Assert.Equal(chosen, rig.Chosen.Span<int>().ToArray());
            AssertClose(statistics, rig.Statistics.Span<float>().ToArray(), 1e-5);
        }
    }

    [Fact]
    public void The_order_of_candidates_and_the_place_in_the_batch_change_nothing()
    {
        ReturnFamily family = ReturnFamily.Categorical(0, 1, 5);
        GuidanceRule rule = new(Tilt.LogMeanExp, family, 8, Outside.Martingale, 0.8f, 0.9f);
        using DecodingRig rig = new(9, 1100, 6, family), one = new(1, 1100, 9, family, threads: 1);
        rig.Draw(4, 8);
        rig.Fused(rule);
        for (int row = 0; row < rig.Rows; row++)
        {
            // The row alone, its list reversed and padded with empty slots.
            rig.Logits.Slice(row).Span<float>().CopyTo(one.Logits.Span<float>());
            one.Candidates.Span<int>().Fill(-1);
            one.ValueLogits.Span<float>().Fill(float.NaN);
            for (int k = 0; k < rig.K; k++)
            {
                one.Candidates.Span<int>()[rig.K - k] = rig.Candidates.Slice(row).Span<int>()[k];
                rig.ValueLogits.Slice(row).Slice(k).Span<float>().CopyTo(one.ValueLogits.Slice(0).Slice(rig.K - k).Span<float>());
            }
            one.Prefix.Span<float>()[0] = rig.Prefix.Span<float>()[row];
            one.Streams.Span<int>()[0] = rig.Streams.Span<int>()[row];
            one.Positions.Span<int>()[0] = rig.Positions.Span<int>()[row];
            one.Fused(rule);
            Assert.Equal(rig.Next.Span<int>()[row], one.Next.Span<int>()[0]);
            int chosen = rig.Chosen.Span<int>()[row];
            Assert.Equal(chosen < 0 ? -1 : rig.K - chosen, one.Chosen.Span<int>()[0]);
            Assert.Equal(rig.Statistics.Slice(row).Span<float>().ToArray(), one.Statistics.Span<float>().ToArray());
        }
    }

    [Fact]
    public void A_constant_return_changes_nothing_unless_outside_means_zero()
    {
        const float Lambda = 6, Logit = 0.7f;
        foreach (Outside outside in new[] { Outside.Martingale, Outside.Min, Outside.Mean })
            foreach (Order order in Enum.GetValues<Order>())
            {
                GuidanceRule rule = new(Tilt.LogMeanExp, ReturnFamily.Bernoulli, Lambda, outside, 0.8f, 0.9f, order);
                using DecodingRig rig = new(50, 300, 10, ReturnFamily.Bernoulli);
                rig.Draw(6, Lambda);
                float g = (float)SamplingOracle.Tilt([Logit], ReturnFamily.Bernoulli, Tilt.LogMeanExp, Lambda);
                rig.ValueLogits.Span<float>().Fill(Logit);
                for (int row = 0; row < rig.Rows; row++) rig.Prefix.Span<float>()[row] = row % 2 == 0 ? g : float.NaN;
                rig.FusedWithoutValues(GuidanceRule.Reference(0.8f, 0.9f));
                int[] next = rig.Next.Span<int>().ToArray();
                rig.Fused(rule);
                Assert.Equal(next, rig.Next.Span<int>().ToArray());
                for (int row = 0; row < rig.Rows; row++)
                {
                    Span<float> statistics = rig.Statistics.Slice(row).Span<float>();
                    Assert.Equal(0, statistics[SampleStatistics.Kl], 1e-5f);
                    Assert.Equal(0, statistics[SampleStatistics.Residual], 1e-5f);
                    Assert.Equal(statistics[SampleStatistics.LogReference], statistics[SampleStatistics.LogPolicy], 1e-5f);
                }
            }
    }

    [Fact]
    public void Exact_values_make_the_martingale_tail_exact()
    {
        // Every token has its own W; the prefix is their exact q-mean. The tail's tilt must be the exact mean over the tail.
        const float Lambda = 10;
        using DecodingRig all = new(20, 50, 50, ReturnFamily.Bernoulli), part = new(20, 50, 8, ReturnFamily.Bernoulli);
        all.Draw(8, Lambda);
        all.Logits.Span<float>().CopyTo(part.Logits.Span<float>());
        part.Ops.TopK(part.Logits, part.Candidates, Tensor.None);
        for (int row = 0; row < 20; row++)
        {
            double[] logits = [.. all.Logits.Slice(row).Span<float>().ToArray().Select(x => (double)x)],
                q = SamplingOracle.LogSoftmax(logits, 1);
            double[] w = [.. all.ValueLogits.Slice(row).Span<float>().ToArray().Select(
                x => Math.Exp(SamplingOracle.Tilt([x], ReturnFamily.Bernoulli, Tilt.LogMeanExp, Lambda)))];   // by token
            int[] ids = part.Candidates.Slice(row).Span<int>().ToArray();
            for (int k = 0; k < 8; k++) part.ValueLogits.Slice(row).Span<float>()[k] = all.ValueLogits.Slice(row).Span<float>()[ids[k]];
            double mean = q.Zip(w, (l, v) => Math.Exp(l) * v).Sum();
            double tail = q.Where((_, id) => !ids.Contains(id)).Sum(Math.Exp);
            double expected = Math.Log(q.Zip(w, (l, v) => Math.Exp(l) * v).Where((_, id) => !ids.Contains(id)).Sum() / tail);
            part.Prefix.Span<float>()[row] = (float)Math.Log(mean);
            GuidanceRule rule = new(Tilt.LogMeanExp, ReturnFamily.Bernoulli, Lambda);
            part.Fused(rule);
            Assert.Equal(Math.Log(mean), part.Statistics.Slice(row).Span<float>()[SampleStatistics.LogNormalizer], 1e-5);
            if (part.Chosen.Span<int>()[row] < 0)
                Assert.Equal(expected, part.Statistics.Slice(row).Span<float>()[SampleStatistics.ChosenTilt], 2e-4);
        }
    }

    [Theory]
    [InlineData(-30, 2.0611e-9)]
    [InlineData(-20, 4.5397e-5)]
    [InlineData(-10, 0.693102)]
    [InlineData(0, 9.306898)]
    [InlineData(10, 9.999955)]
    public void Bernoulli_tilt_keeps_its_relative_precision(float logit, double expected)
    {
        using DecodingRig rig = new(1, 8, 1, ReturnFamily.Bernoulli);
        rig.ValueLogits.Span<float>()[0] = logit;
        rig.Ops.AtomTilt(rig.ValueLogits, ReturnFamily.Bernoulli, Tilt.LogMeanExp, 10, Tensor.None, rig.Statistics.As(9).Range(0, 1));
        float g = rig.Statistics.Span<float>()[0];
        double exact = SamplingOracle.Tilt([logit], ReturnFamily.Bernoulli, Tilt.LogMeanExp, 10);
        Assert.Equal(1, g / expected, 1e-4);
        Assert.Equal(1, g / (logit < -15 ? Log1pSmall(logit) : exact), 1e-6);

        // p small: ln(1 + p(e^10 − 1)), where the plain oracle itself has rounded 1 − p.
        static double Log1pSmall(double l)
        {
            double x = Math.Exp(l) / (1 + Math.Exp(l)) * (Math.Exp(10) - 1);
            return x - x * x / 2 + x * x * x / 3;
        }
    }

    [Theory]
    [InlineData(0.01, 0.99553, 4.5559)]
    [InlineData(0.05, 0.99914, 2.9863)]
    [InlineData(0.2, 0.99982, 1.6074)]
    [InlineData(0.5, 0.99995, 0.69265)]
    public void A_choice_between_success_and_failure_has_the_closed_form(double p, double reward, double kl)
    {
        // Two tokens: one surely wins, one surely loses; π_ref takes the first with p. Then π wins with r and its KL is closed form.
        GuidanceRule rule = new(Tilt.LogMeanExp, ReturnFamily.Bernoulli, 10);
        using DecodingRig rig = new(4000, 2, 2, ReturnFamily.Bernoulli);
        int wins = 0;
        for (int row = 0; row < rig.Rows; row++)
        {
            (rig.Logits.Slice(row).Span<float>()[0], rig.Logits.Slice(row).Span<float>()[1]) = ((float)Math.Log(p), (float)Math.Log(1 - p));
            (rig.Candidates.Slice(row).Span<int>()[0], rig.Candidates.Slice(row).Span<int>()[1]) = (1, 0);
            (rig.ValueLogits.Slice(row).Span<float>()[0], rig.ValueLogits.Slice(row).Span<float>()[1]) = (-60, 60);
            rig.Prefix.Span<float>()[row] = float.NaN;
        }
        rig.Fused(rule);
        for (int row = 0; row < rig.Rows; row++)
        {
            Span<float> statistics = rig.Statistics.Slice(row).Span<float>();
            bool won = rig.Next.Span<int>()[row] == 0;
            wins += won ? 1 : 0;
            Assert.Equal(kl, statistics[SampleStatistics.Kl], 1e-4);
            Assert.Equal(won ? reward : 1 - reward, Math.Exp(statistics[SampleStatistics.LogPolicy]), 1e-5);
        }
        Assert.Equal(reward, (double)wins / rig.Rows, 0.004);
    }

    [Theory]
    [InlineData(float.NegativeInfinity)]
    [InlineData(float.NaN)]
    public void A_row_without_weight_gives_a_legal_token_and_no_number(float nothing)
    {
        using DecodingRig rig = new(2, 100, 4, ReturnFamily.Bernoulli);
        GuidanceRule guided = new(Tilt.LogMeanExp, ReturnFamily.Bernoulli, 10, TopP: 0.9f);
        foreach (GuidanceRule rule in new[] { GuidanceRule.Reference(0.8f, 0.9f), guided })
        {
            rig.Draw(2, 10);
            rig.Logits.Span<float>().Fill(nothing);
            rig.Fused(rule);
            Assert.Equal([0, 0], rig.Next.Span<int>().ToArray());
            Assert.All(rig.Statistics.Span<float>().ToArray(), value => Assert.True(float.IsNaN(value)));
            rig.Naive(rule);
            Assert.All(rig.Next.Span<int>().ToArray(), token => Assert.InRange(token, 0, 99));

            // Only candidates that are masked may be drawn: the first token that is not masked stands in.
            rig.Logits.Span<float>()[37] = 1;
            rig.Candidates.Span<int>()[..4].Fill(-1);
            rig.Candidates.Span<int>()[0] = 3;
            rig.Fused(rule with { Outside = Outside.Truncate });
            Assert.Equal(37, rig.Next.Span<int>()[0]);
        }
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    public void Broken_numbers_among_good_ones_never_lead_out_of_range_or_to_a_masked_token(float broken)
    {
        using DecodingRig rig = new(64, 70, 8, ReturnFamily.Bernoulli);
        foreach (Outside outside in Enum.GetValues<Outside>())
            foreach (Order order in Enum.GetValues<Order>())
            {
                GuidanceRule rule = new(Tilt.LogMeanExp, ReturnFamily.Bernoulli, 10, outside, 0.8f, 0.9f, order);
                rig.Draw(9, 10);
                for (int i = 0; i < rig.Rows * rig.Vocabulary; i += 13) rig.Logits.Span<float>()[i] = broken;
                rig.Ops.TopK(rig.Logits, rig.Candidates, Tensor.None);
                for (int i = 0; i < rig.Rows * rig.K; i += 11) rig.ValueLogits.Span<float>()[i] = broken;
                for (int i = 0; i < rig.Rows; i += 5) rig.Prefix.Span<float>()[i] = broken;
                for (int pass = 0; pass < 2; pass++)
                {
                    if (pass == 0) rig.Fused(rule);
                    else rig.Naive(rule);
                    for (int row = 0; row < rig.Rows; row++)
                    {
                        int token = rig.Next.Span<int>()[row];
                        Assert.InRange(token, 0, rig.Vocabulary - 1);
                        if (pass == 0) Assert.True(rig.Logits.Slice(row).Span<float>()[token] > float.NegativeInfinity,
                            $"{rule}, row {row}");
                    }
                }
            }
    }

    [Fact]
    public void A_step_allocates_nothing()
    {
        using DecodingRig rig = new(8, 3000, 20, ReturnFamily.Categorical(0, 1, 11));
        rig.Draw(1, 10);
        foreach (Order order in Enum.GetValues<Order>())
            foreach (Outside outside in Enum.GetValues<Outside>())
            {
                GuidanceRule rule = new(Tilt.LogMeanExp, rig.Family, 10, outside, 0.8f, 0.9f, order);
                for (int warm = 0; warm < 2; warm++)
                {
                    rig.Fused(rule);
                    rig.Naive(rule);
                }
                Assert.Equal(0, Allocated.Bytes(() =>
                {
                    rig.Fused(rule);
                    rig.Naive(rule);
                }));
            }
    }

    private static void AssertClose(float[] expected, float[] actual, double tolerance)
    {
        for (int i = 0; i < expected.Length; i++)
            Assert.True(Math.Abs(expected[i] - actual[i]) <= tolerance * Math.Max(1, Math.Abs(expected[i])),
                $"statistic {i}: {actual[i]}, expected {expected[i]}");
    }
}
