using System.Runtime.Intrinsics;

using QSharp.Kernels;

using Xunit;

namespace QSharp.Tests.Kernels;

/// <summary>The fused op against the naive chain and against float64; its noise; the laws that any decoder of Q♯ must keep.</summary>
public class TiltedSampleTests(ITestOutputHelper output)
{
    private static readonly ReturnFamily Categorical = ReturnFamily.Categorical(-0.5f, 1, 11);

    public static TheoryData<Outside, Order, Tilt> Rules()
    {
        TheoryData<Outside, Order, Tilt> data = [];
        foreach (Outside outside in Enum.GetValues<Outside>())
            foreach (Order order in Enum.GetValues<Order>())
                foreach (Tilt tilt in Enum.GetValues<Tilt>()) data.Add(outside, order, tilt);
        return data;
    }

    [Theory, MemberData(nameof(Rules))]
    public void Naive_chain_and_fused_op_draw_the_same_tokens_with_the_same_statistics(Outside outside, Order order, Tilt tilt)
    {
        int rows = 0;
        foreach (ReturnFamily family in new[] { ReturnFamily.Bernoulli, new ReturnFamily(FamilyKind.Bernoulli, -1, 3, 1), Categorical })
        {
            using DecodingRig small = new(12, 61, 7, family), large = new(3, 2600, 20, family);
            foreach (float lambda in new[] { 10f, 1.5f, -4f })
                foreach (float temperature in new[] { 0f, 0.7f, 1f, 1.5f })
                    foreach (float topP in new[] { 1f, 0.9f, 0.4f })
                        foreach (DecodingRig rig in new[] { small, large })
                        {
                            GuidanceRule rule = new(tilt, family, lambda, outside, temperature, topP, order);
                            rig.Draw((ulong)rows, lambda);
                            rig.Naive(rule);
                            (int[] Next, int[] Chosen, float[] Statistics) naive = rig.Result();
                            rig.Fused(rule);
                            Compare(rig, rule, naive, rig.Result());
                            rows += rig.Rows;
                        }
        }
        output.WriteLine($"{rows} rows");
    }

    [Theory]
    [InlineData(300f)]
    [InlineData(-300f)]
    public void A_very_strong_tilt_stays_exact(float lambda)
    {
        foreach (Outside outside in Enum.GetValues<Outside>())
            foreach (Order order in Enum.GetValues<Order>())
            {
                GuidanceRule rule = new(Tilt.LogMeanExp, Categorical, lambda, outside, 0.8f, 0.95f, order);
                using DecodingRig rig = new(20, 300, 10, Categorical);
                rig.Draw(11, lambda);
                rig.Fused(rule);
                CompareWithExact(rig, rule, 2e-4);
            }
    }

    [Theory]
    [InlineData(0f, Tilt.LogMeanExp)]
    [InlineData(10f, Tilt.None)]
    public void Without_a_tilt_it_is_the_reference_bit_for_bit(float lambda, Tilt tilt)
    {
        using DecodingRig rig = new(40, 1500, 20, Categorical);
        foreach (Order order in Enum.GetValues<Order>())
            foreach (Outside outside in Enum.GetValues<Outside>())
                foreach ((float temperature, float topP) in new[] { (1f, 1f), (0.8f, 0.9f), (0f, 1f) })
                {
                    rig.Draw(5, 1);
                    rig.FusedWithoutValues(GuidanceRule.Reference(temperature, topP));
                    (int[] next, _, float[] statistics) = rig.Result();
                    rig.Fused(new GuidanceRule(tilt, Categorical, lambda, outside, temperature, topP, order));
                    Assert.Equal(next, rig.Next.Span<int>().ToArray());
                    Assert.Equal(statistics, rig.Statistics.Span<float>().ToArray());
                    for (int row = 0; row < rig.Rows; row++)
                        Assert.Equal(rig.Candidates.Slice(row).Span<int>().IndexOf(next[row]), rig.Chosen.Span<int>()[row]);
                }
    }

    [Fact]
    public void Noise_is_the_documented_function_of_key_stream_position_and_token()
    {
        Span<uint> words = stackalloc uint[GumbelNoise.Width];
        double worst = 0;
        for (int trial = 0; trial < 500; trial++)
        {
            int token = trial * 32, stream = trial * 7 - 3, position = trial * trial;
            unsafe
            {
                fixed (uint* pointer = words) GumbelNoise.Words(DecodingRig.Key, stream, position, token, pointer);
            }
            for (int i = 0; i < 32; i += 8)
            {
                int[] tokens = [.. Enumerable.Range(0, 8).Select(lane => token + i + (lane * 5 % 8))];   // in another order
                Vector256<float> at = GumbelNoise.At(
                    DecodingRig.Key, stream, position, Vector256.Create(tokens));
                for (int lane = 0; lane < 8; lane++)
                {
                    Vector256<uint> word = Vector256.Create(words[tokens[lane] - token]);
                    Assert.Equal(GumbelNoise.FromWord(word)[0], at[lane]);
                    Assert.InRange(GumbelNoise.Bound(word)[0], at[lane], Math.Max(at[lane] + 0.1f, 3.2f));
                    double exact = SamplingOracle.Noise(DecodingRig.Key, stream, position, tokens[lane]);
                    worst = Math.Max(worst, Math.Abs(at[lane] - exact) / Math.Max(1, Math.Abs(exact)));
                    Assert.True(at[lane] < GumbelNoise.Largest);
                }
            }
        }
        Assert.True(worst < 1e-6, $"noise is off by {worst}");
        uint[] extremes = [0, 1, 2, 127, 128, 255, 1u << 24, uint.MaxValue / 2, uint.MaxValue - 128, uint.MaxValue - 1, uint.MaxValue];
        foreach (uint extreme in extremes)
        {
            double u = (extreme + 0.5) / 4294967296.0, exact = -Math.Log(u < 1e-5 ? u + u * u / 2 : -Math.Log(1 - u));
            float noise = GumbelNoise.FromWord(Vector256.Create(extreme))[0];
            Assert.Equal(exact, noise, 3e-6);
            Assert.InRange(noise, float.MinValue, Math.Min(GumbelNoise.Largest, GumbelNoise.Bound(Vector256.Create(extreme))[0]));
        }
    }

    [Theory]
    [InlineData(Outside.Martingale, Order.TemperThenTilt)]
    [InlineData(Outside.Zero, Order.TiltThenTemper)]
    public void Draws_follow_the_exact_law(Outside outside, Order order)
    {
        const int Draws = 20_000;
        GuidanceRule rule = new(Tilt.LogMeanExp, ReturnFamily.Bernoulli, 3, outside, 0.9f, 0.97f, order);
        using DecodingRig rig = new(Draws, 12, 4, ReturnFamily.Bernoulli);
        rig.Draw(17, rule.Lambda, spread: 1);
        for (int row = 1; row < Draws; row++)   // all rows are the first but for their stream and position
        {
            rig.Logits.Slice(0).Span<float>().CopyTo(rig.Logits.Slice(row).Span<float>());
            rig.Candidates.Slice(0).Span<int>().CopyTo(rig.Candidates.Slice(row).Span<int>());
            rig.ValueLogits.Slice(0).Span<float>().CopyTo(rig.ValueLogits.Slice(row).Span<float>());
            rig.Prefix.Span<float>()[row] = rig.Prefix.Span<float>()[0];
        }
        rig.Fused(rule);
        double[] law = rig.Exact(rule, 0).Policy;
        int[] counts = new int[12];
        foreach (int token in rig.Next.Span<int>()) counts[token]++;
        double chiSquare = 0;
        int degrees = -1;
        for (int token = 0; token < law.Length; token++)
        {
            if (law[token] == 0)
            {
                Assert.Equal(0, counts[token]);
                continue;
            }
            degrees++;
            chiSquare += Math.Pow(counts[token] - Draws * law[token], 2) / (Draws * law[token]);
        }
        output.WriteLine($"chi-square {chiSquare:f2} with {degrees} degrees of freedom");
        Assert.True(chiSquare < degrees + 3 * Math.Sqrt(2 * degrees), $"chi-square {chiSquare} with {degrees} degrees of freedom");
    }

    private void Compare(
        DecodingRig rig, GuidanceRule rule,
        (int[] Next, int[] Chosen, float[] Statistics) naive, (int[] Next, int[] Chosen, float[] Statistics) fused)
    {
        for (int row = 0; row < rig.Rows; row++)
        {
            if (naive.Next[row] != fused.Next[row])
            {
                double gap = rig.Exact(rule, row).Gap;
                Assert.True(gap < 1e-5,
                    $"{rule}, row {row}: naive {naive.Next[row]}, fused {fused.Next[row]}, yet the scores are {gap} apart.");
                output.WriteLine($"tie: {rule}, row {row}: naive {naive.Next[row]}, fused {fused.Next[row]}, gap {gap:g2}");
                continue;
            }
            Assert.Equal(naive.Chosen[row], fused.Chosen[row]);
            AssertStatistics(rule, row, naive.Statistics, [.. fused.Statistics.Select(value => (double)value)],
                row * SampleStatistics.Count, 1e-4);
            if (row % 4 == 0) CompareRow(rig, rule, row, 1e-4);
        }
    }

    private static void CompareWithExact(DecodingRig rig, GuidanceRule rule, double tolerance)
    {
        for (int row = 0; row < rig.Rows; row++) CompareRow(rig, rule, row, tolerance);
    }

    private static void CompareRow(DecodingRig rig, GuidanceRule rule, int row, double tolerance)
    {
        GuidedStep exact = rig.Exact(rule, row);
        if (exact.Gap < tolerance / 10) return;
        Assert.True(exact.Next == rig.Next.Span<int>()[row],
            $"{rule}, row {row}: {rig.Next.Span<int>()[row]}, but exactly {exact.Next} by {exact.Gap}.");
        Assert.Equal(exact.Chosen, rig.Chosen.Span<int>()[row]);
        AssertStatistics(rule, row, rig.Statistics.Slice(row).Span<float>().ToArray(), exact.Statistics, 0, tolerance);
    }

    private static void AssertStatistics(GuidanceRule rule, int row, float[] actual, double[] expected, int offset, double tolerance)
    {
        for (int i = 0; i < SampleStatistics.Count; i++)
        {
            double a = actual[offset + i], e = expected[offset + i];
            Assert.True(a.Equals(e) || Math.Abs(a - e) <= tolerance * Math.Max(1, Math.Abs(e) / 10),
                $"{rule}, row {row}: statistic {i} is {a}, expected {e}.");
        }
    }
}
