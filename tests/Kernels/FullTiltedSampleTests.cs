using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Kernels;

/// <summary>The tilt over the full vocabulary: the law of all tokens as candidates, whichever way it is made.</summary>
public sealed class FullTiltedSampleTests(ITestOutputHelper output)
{
    private static readonly ReturnFamily Categorical = ReturnFamily.Categorical(-0.5f, 1, 11);

    [Theory]
    [InlineData(Order.TemperThenTilt, Tilt.LogMeanExp), InlineData(Order.TemperThenTilt, Tilt.Mean), InlineData(Order.TemperThenTilt, Tilt.None)]
    [InlineData(Order.TiltThenTemper, Tilt.LogMeanExp), InlineData(Order.TiltThenTemper, Tilt.Mean)]
    public void Fused_op_and_naive_chain_draw_as_with_all_tokens_as_candidates(Order order, Tilt tilt)
    {
        int rows = 0;
        foreach (ReturnFamily family in new[] { ReturnFamily.Bernoulli, Categorical, ReturnFamily.Categorical(0, 1, 2) })
            foreach ((int vocabulary, int width) in new[] { (61, 128), (129, 129), (300, 128) })
            {
                using FullRig rig = new(9, vocabulary, width, family);
                foreach (float lambda in new[] { 10f, -4f })
                    foreach (float temperature in new[] { 0f, 0.7f, 1.5f })
                        foreach (float topP in new[] { 1f, 0.9f, 0.4f })
                        {
                            GuidanceRule rule = new(tilt, family, lambda, Outside.Martingale, temperature, topP, order);
                            rig.Draw((ulong)rows, lambda);
                            rig.Candidates.Fused(rule);
                            (int[] next, _, float[] statistics) = rig.Candidates.Result();
                            foreach (Guidance guidance in (Guidance[])[rig.Fused, rig.Naive])
                            {
                                rig.Sample(guidance, rule);
                                Compare(rig, rule, guidance.GetType().Name, next, statistics);
                            }
                            rows += rig.Candidates.Rows;
                        }
            }
        output.WriteLine($"{rows} rows");
    }

    [Theory, InlineData(300f), InlineData(-300f)]
    public void A_very_strong_tilt_stays_exact(float lambda)
    {
        foreach (Order order in Enum.GetValues<Order>())
        {
            GuidanceRule rule = new(Tilt.LogMeanExp, Categorical, lambda, Outside.Martingale, 0.8f, 0.95f, order);
            using FullRig rig = new(20, 300, 128, Categorical);
            rig.Draw(11, lambda);
            rig.Sample(rig.Fused, rule);
            for (int row = 0; row < 20; row++)
            {
                GuidedStep exact = rig.Candidates.Exact(rule, row);
                if (exact.Gap < 1e-4) continue;
                Assert.Equal(exact.Next, rig.Candidates.Next.Span<int>()[row]);
                for (int i = 0; i < SampleStatistics.Count; i++)
                {
                    double value = rig.Candidates.Statistics.Slice(row).Span<float>()[i], expected = exact.Statistics[i];
                    Assert.True(Math.Abs(value - expected) <= 2e-4 * Math.Max(1, Math.Abs(expected) / 10), $"{rule}, row {row}: statistic {i} is {value}, not {expected}.");
                }
            }
        }
    }

    [Fact]
    public void An_unguided_rule_is_the_reference_bit_for_bit()
    {
        using FullRig rig = new(40, 300, 128, Categorical);
        rig.Draw(5, 1);
        foreach ((float temperature, float topP) in new[] { (1f, 1f), (0.8f, 0.9f), (0f, 1f) })
        {
            rig.Candidates.FusedWithoutValues(GuidanceRule.Reference(temperature, topP));
            (int[] next, _, float[] statistics) = rig.Candidates.Result();
            rig.Sample(rig.Fused, new GuidanceRule(Tilt.LogMeanExp, Categorical, 0, Outside.Zero, temperature, topP, Order.TiltThenTemper));
            Assert.Equal(next, rig.Candidates.Next.Span<int>().ToArray());
            Assert.Equal(statistics, rig.Candidates.Statistics.Span<float>().ToArray());
        }
    }

    [Theory, InlineData(float.NaN), InlineData(float.PositiveInfinity), InlineData(float.NegativeInfinity)]
    public void Broken_numbers_never_lead_out_of_range_or_to_a_masked_token(float broken)
    {
        foreach (ReturnFamily family in new[] { ReturnFamily.Bernoulli, Categorical })
            foreach (Order order in Enum.GetValues<Order>())
                foreach (float temperature in new[] { 0f, 0.8f })
                {
                    GuidanceRule rule = new(Tilt.LogMeanExp, family, 10, Outside.Martingale, temperature, 0.9f, order);
                    using FullRig rig = new(64, 70, 128, family);
                    rig.Draw(9, 10);
                    Span<float> logits = rig.Candidates.Logits.Span<float>(), values = rig.Values.Span<float>();
                    for (int i = 0; i < logits.Length; i += 13) logits[i] = broken;
                    for (int i = 0; i < values.Length; i += 11) values[i] = broken;
                    logits[..70].Fill(broken);                       // a row without a good logit
                    logits[70..140].Fill(float.NegativeInfinity);
                    logits[70 + 37] = 1;                             // and one with a single token, whose tilt is broken too
                    for (int a = 0; a < family.Atoms; a++) values[(family.Atoms + a) * 128 + 37] = float.NaN;
                    foreach (Guidance guidance in (Guidance[])[rig.Fused, rig.Naive])
                    {
                        rig.Sample(guidance, rule);
                        for (int row = 0; row < 64; row++)
                        {
                            int token = rig.Candidates.Next.Span<int>()[row];
                            Assert.InRange(token, 0, 69);
                            if (guidance is NaiveGuidance || (row == 0 && !(broken > 0))) continue;
                            Assert.True(logits[row * 70 + token] > float.NegativeInfinity, $"{rule}, row {row}: token {token} is masked.");
                        }
                    }
                    rig.Sample(rig.Fused, rule);
                    Assert.Equal(37, rig.Candidates.Next.Span<int>()[1]);
                    Assert.All(rig.Candidates.Statistics.Slice(1).Span<float>().ToArray(), value => Assert.True(float.IsNaN(value)));
                }
    }

    [Fact]
    public void A_step_allocates_nothing()
    {
        using FullRig rig = new(3, 3000, 128, Categorical);
        rig.Draw(1, 10);
        foreach (Order order in Enum.GetValues<Order>())
        {
            GuidanceRule rule = new(Tilt.LogMeanExp, Categorical, 10, Outside.Martingale, 0.8f, 0.9f, order);
            foreach (Guidance guidance in (Guidance[])[rig.Fused, rig.Naive])
            {
                for (int warm = 0; warm < 2; warm++) rig.Sample(guidance, rule);
                Assert.Equal(0, Allocated.Bytes(() => rig.Sample(guidance, rule)));
            }
        }
    }

    private void Compare(FullRig rig, GuidanceRule rule, string what, int[] next, float[] statistics)
    {
        for (int row = 0; row < next.Length; row++)
        {
            int token = rig.Candidates.Next.Span<int>()[row];
            if (token != next[row])
            {
                double gap = rig.Candidates.Exact(rule, row).Gap;
                Assert.True(gap < 1e-5, $"{what}, {rule}, row {row}: {token}, with candidates {next[row]}, yet the scores are {gap} apart.");
                output.WriteLine($"tie: {rule}, row {row}");
                continue;
            }
            for (int i = 0; i < SampleStatistics.Count; i++)
            {
                double value = rig.Candidates.Statistics.Slice(row).Span<float>()[i], expected = statistics[row * SampleStatistics.Count + i];
                Assert.True(Math.Abs(value - expected) <= 1e-4 * Math.Max(1, Math.Abs(expected) / 10), $"{what}, {rule}, row {row}: statistic {i} is {value}, with candidates {expected}.");
            }
        }
    }

    /// <summary>A decoding rig in which every token is a candidate, and the same values in tiles.</summary>
    private sealed class FullRig : IDisposable
    {
        private readonly int _width;
        private readonly Tensor _bias;

        public FullRig(int rows, int vocabulary, int width, ReturnFamily family)
        {
            Candidates = new DecodingRig(rows, vocabulary, vocabulary, family);
            _width = width;
            Values = Candidates.Take((rows, (vocabulary + width - 1) / width, family.Atoms, width));
            _bias = Candidates.Take((rows, family.Atoms));
            Fused = new FusedGuidance(Candidates.Ops);
            Naive = new NaiveGuidance(Candidates.Ops);
        }

        public DecodingRig Candidates { get; }

        public Tensor Values { get; }

        public Guidance Fused { get; }

        public Guidance Naive { get; }

        public void Draw(ulong seed, float lambda)
        {
            Candidates.Draw(seed, lambda);
            PhiloxStream random = new(seed + 1);
            int vocabulary = Candidates.Vocabulary, atoms = Candidates.Family.Atoms;
            Values.Span<float>().Fill(float.NaN);   // what lies past the vocabulary counts for nothing
            foreach (ref float value in _bias.Span<float>()) value = random.NextNormal();
            for (int row = 0; row < Candidates.Rows; row++)
                for (int k = 0; k < vocabulary; k++)
                {
                    int token = Candidates.Candidates.Slice(row).Span<int>()[k];
                    for (int a = 0; a < atoms; a++)
                        Values.Slice(row).Span<float>()[(token / _width * atoms + a) * _width + token % _width] =
                            Candidates.ValueLogits.Slice(row).Span<float>()[k * atoms + a] - _bias.Slice(row).Span<float>()[a];
                }
        }

        public void Sample(Guidance guidance, GuidanceRule rule)
        {
            DecodingRig rig = Candidates;
            GuidanceInputs inputs = new(rig.Logits, Tensor.None, Values, rig.Prefix, rig.Streams, rig.Positions) { ValueBias = _bias };
            guidance.Sample(inputs, rule, DecodingRig.Key, new GuidanceOutputs(rig.Next, rig.Chosen, rig.Statistics));
        }

        public void Dispose()
        {
            Naive.Dispose();
            Fused.Dispose();
            Candidates.Dispose();
        }
    }
}
