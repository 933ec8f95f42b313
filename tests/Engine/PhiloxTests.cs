using QSharp.Engine;

using Xunit;

namespace QSharp.Tests.Engine;

public class PhiloxTests
{
    /// <summary>The known answers of the authors' library Random123 (kat_vectors, philox4x32 10).</summary>
    [Theory]
    [InlineData(0x00000000u, 0x00000000u, 0x00000000u, 0x00000000u, 0x00000000_00000000ul,
        0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u)]
    [InlineData(0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffff_fffffffful,
        0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu)]
    [InlineData(0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u, 0x299f31d0_a4093822ul,
        0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u)]
    public void Blocks_are_those_of_Random123(uint c0, uint c1, uint c2, uint c3, ulong key, uint x0, uint x1, uint x2, uint x3) =>
        Assert.Equal((x0, x1, x2, x3), Philox.Block(key, c0, c1, c2, c3));

    [Fact]
    public void Uniform_numbers_lie_strictly_between_0_and_1()
    {
        Assert.Equal(Math.Pow(2, -24), Philox.Uniform(0));
        Assert.Equal(1 - Math.Pow(2, -24), Philox.Uniform(uint.MaxValue));
        PhiloxStream random = new(3);
        double sum = 0, squares = 0;
        const int Draws = 100_000;
        for (int i = 0; i < Draws; i++)
        {
            double u = random.NextUniform();
            Assert.InRange(u, Math.Pow(2, -24), 1 - Math.Pow(2, -24));
            sum += u;
            squares += u * u;
        }
        Assert.Equal(0.5, sum / Draws, 0.005);
        Assert.Equal(1.0 / 3, squares / Draws, 0.005);
    }

    [Fact]
    public void A_stream_is_the_words_of_its_blocks_in_order()
    {
        const ulong Key = 0x0123456789abcdef;
        PhiloxStream random = new(Key);
        for (uint block = 0; block < 5; block++)
        {
            (uint x0, uint x1, uint x2, uint x3) = Philox.Block(Key, block, 0, 0, 0);
            Assert.Equal([x0, x1, x2, x3], new[] { random.NextWord(), random.NextWord(), random.NextWord(), random.NextWord() });
        }
        Assert.Equal(20ul, random.Position);
    }

    [Fact]
    public void A_stream_resumes_at_any_position()
    {
        PhiloxStream whole = new(42);
        for (int i = 0; i < 50; i++)
        {
            PhiloxStream resumed = new(whole.Key, whole.Position);
            PhiloxStream copy = whole;
            for (int j = 0; j < 9; j++) Assert.Equal(copy.NextWord(), resumed.NextWord());
            whole.NextWord();
        }
    }

    [Fact]
    public void A_stream_goes_on_past_32_bits_of_blocks()
    {
        PhiloxStream random = new(1, (1ul << 34) + 2);
        Assert.Equal(Philox.Block(1, 0, 1, 0, 0).X2, random.NextWord());
        PhiloxStream last = new(1, ulong.MaxValue - 1);
        Assert.Equal(Philox.Block(1, uint.MaxValue, 0x3fffffff, 0, 0).X2, last.NextWord());
    }

    /// <summary>
    /// The product without rejection gives 3 words to each integer that is 0 or 1 mod 3 of this bound, and 2 to each that is 2.
    /// </summary>
    [Fact]
    public void Integers_are_unbiased_for_a_bound_that_does_not_divide_the_words()
    {
        const int Bound = 3 << 29, Draws = 30_000;
        PhiloxStream random = new(5);
        int[] counts = new int[3];
        for (int i = 0; i < Draws; i++) counts[random.NextInt(Bound) % 3]++;
        Assert.All(counts, count => Assert.InRange(count, 9_650, 10_350));   // four standard deviations; with bias 7,500 and 11,250
        Assert.InRange(random.Position, 39_000ul, 41_000ul);                 // a quarter of the words is rejected
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(7)]
    [InlineData(10)]
    public void Small_integers_are_uniform(int bound)
    {
        const int Draws = 20_000;
        PhiloxStream random = new(6);
        int[] counts = new int[bound];
        for (int i = 0; i < Draws; i++) counts[random.NextInt(bound)]++;
        double expected = (double)Draws / bound;
        double chiSquare = counts.Sum(count => (count - expected) * (count - expected) / expected);
        Assert.True(chiSquare < 30, $"χ² = {chiSquare:g4} with {bound - 1} degrees of freedom");
    }

    [Fact]
    public void Integers_reach_the_largest_bound_and_reject_bounds_without_integers()
    {
        PhiloxStream random = new(7);
        for (int i = 0; i < 1000; i++) Assert.InRange(random.NextInt(int.MaxValue), 0, int.MaxValue - 1);
        Assert.Throws<ArgumentOutOfRangeException>(() => new PhiloxStream(1).NextInt(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => new PhiloxStream(1).NextInt(-3));
    }

    [Fact]
    public void Normal_numbers_have_the_moments_of_the_normal_law()
    {
        const int Draws = 100_000;
        PhiloxStream random = new(8);
        double[] moments = new double[5];
        for (int i = 0; i < Draws; i++)
        {
            double value = random.NextNormal();
            for (int k = 1; k <= 4; k++) moments[k] += Math.Pow(value, k) / Draws;
        }
        Assert.Equal(0, moments[1], 0.015);
        Assert.Equal(1, moments[2], 0.02);
        Assert.Equal(0, moments[3], 0.05);
        Assert.Equal(3, moments[4], 0.15);
        Assert.Equal(2ul * Draws, random.Position);
    }

    [Fact]
    public void Shuffles_are_permutations_each_equally_likely()
    {
        const int Draws = 12_000;
        PhiloxStream random = new(9);
        Dictionary<string, int> counts = [];
        for (int i = 0; i < Draws; i++)
        {
            char[] letters = ['a', 'b', 'c', 'd'];
            random.Shuffle<char>(letters);
            string order = new(letters);
            counts[order] = counts.GetValueOrDefault(order) + 1;
        }
        Assert.Equal(24, counts.Count);
        Assert.All(counts.Keys, order => Assert.Equal("abcd", string.Concat(order.Order())));
        Assert.All(counts.Values, count => Assert.InRange(count, 400, 600));   // 500 ± 22
    }

    [Fact]
    public void Keys_of_different_streams_and_seeds_differ()
    {
        HashSet<ulong> keys = [];
        for (ulong seed = 0; seed < 50; seed++)
            for (uint stream = 0; stream < 20; stream++) Assert.True(keys.Add(Philox.Key(seed, stream)));
        Assert.Equal(Philox.Key(3, 4), Philox.Key(3, 4));
    }
}
