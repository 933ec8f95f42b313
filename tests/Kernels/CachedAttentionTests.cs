using QSharp.Engine;
using QSharp.Kernels;

using Xunit;

namespace QSharp.Tests.Kernels;

/// <summary>What one op's case cannot say: the cache, used step by step, gives what attention over the whole sequence gives.</summary>
public sealed class CachedAttentionTests : IDisposable
{
    private const int Rows = 3, Time = 21, Heads = 4, KvHeads = 2, HeadDim = 8;
    private const int Width = (Heads + 2 * KvHeads) * HeadDim, Column = KvHeads * HeadDim, Result = Heads * HeadDim;

    private readonly CpuDevice _device = new(2);
    private readonly List<DeviceBuffer> _buffers = [];
    private readonly Ops _ops;

    public CachedAttentionTests() => _ops = Ops.For(_device);

    [Fact]
    public void Token_by_token_equals_the_whole_sequence()
    {
        Tensor qkv = Random((Rows * Time, Width), 1);
        float[] whole = Whole(qkv, 0, Time);
        Cache cache = NewCache(Time);
        for (int t = 0; t < Time; t++)
        {
            Tensor y = Extend(cache, Columns(qkv, t, 1), Tensor.None, CacheLayout.Sequence);
            _ops.Advance(cache.Lengths, Tensor.None, 1);
            AssertTokens(whole, t, 1, y);
        }
        Assert.All(cache.Lengths.Span<int>().ToArray(), length => Assert.Equal(Time, length));
    }

    [Fact]
    public void A_prompt_read_in_both_directions_and_the_text_after_it_equal_the_whole_sequence()
    {
        const int Prompt = 9;
        Tensor qkv = Random((Rows * Time, Width), 2);
        float[] whole = Whole(qkv, Prompt, Time);
        Cache cache = NewCache(Time);
        Tensor y = Extend(cache, Columns(qkv, 0, Prompt), Tensor.None, CacheLayout.Prompt);
        _ops.Advance(cache.Lengths, Tensor.None, Prompt);
        AssertTokens(whole, 0, Prompt, y);
        y = Extend(cache, Columns(qkv, Prompt, Time - Prompt), Tensor.None, CacheLayout.Sequence);
        AssertTokens(whole, Prompt, Time - Prompt, y);
    }

    [Fact]
    public void Rows_of_different_length_do_not_disturb_each_other()
    {
        int[] lengths = [Time, 0, 7];
        Tensor qkv = Random((Rows * Time, Width), 3);
        float[] whole = Whole(qkv, 0, Time);
        Cache cache = NewCache(Time);
        Tensor counts = Integers(lengths);
        Tensor y = Extend(cache, qkv, counts, CacheLayout.Sequence);
        _ops.Advance(cache.Lengths, counts, 0);
        Assert.Equal(lengths, cache.Lengths.Span<int>().ToArray());
        for (int r = 0; r < Rows; r++)
        {
            for (int i = 0; i < Time * Result; i++)
                Assert.Equal(i < lengths[r] * Result ? whole[r * Time * Result + i] : 0, y.Span<float>()[r * Time * Result + i], 1e-5f);
        }
    }

    [Fact]
    public void Siblings_of_which_one_is_kept_equal_having_processed_only_the_chosen_tokens()
    {
        const int Siblings = 5, Prompt = 4;
        Tensor qkv = Random((Rows * Time, Width), 4);
        float[] whole = Whole(qkv, 0, Time);
        Cache cache = NewCache(Time + Siblings);
        Extend(cache, Columns(qkv, 0, Prompt), Tensor.None, CacheLayout.Sequence);
        _ops.Advance(cache.Lengths, Tensor.None, Prompt);
        for (int t = Prompt; t < Time; t++)
        {
            int[] chosen = [t % Siblings, 0, (2 * t + 1) % Siblings];
            Tensor candidates = Random((Rows * Siblings, Width), 100 + (ulong)t);
            for (int r = 0; r < Rows; r++)
                Row(qkv, r * Time + t).CopyTo(Row(candidates, r * Siblings + chosen[r]));
            Tensor y = Extend(cache, candidates, Tensor.None, CacheLayout.Siblings);
            for (int r = 0; r < Rows; r++)
                AssertClose(
                    whole.AsSpan((r * Time + t) * Result, Result), y.Span<float>().Slice((r * Siblings + chosen[r]) * Result, Result));
            _ops.KvKeep(cache.Keys, cache.Values, cache.Lengths, Integers(chosen));
            _ops.Advance(cache.Lengths, Tensor.None, 1);
        }
    }

    [Fact]
    public void A_cache_that_is_full_is_an_error_and_not_a_write_past_its_end()
    {
        Cache cache = NewCache(4);
        Tensor qkv = Random((Rows * 5, Width), 5);
        Assert.Throws<ArgumentException>(() => Extend(cache, qkv, Tensor.None, CacheLayout.Sequence));
        Extend(cache, qkv, Integers([4, 0, 1]), CacheLayout.Sequence);
        Assert.Throws<ArgumentException>(() => _ops.KvKeep(cache.Keys, cache.Values, cache.Lengths, Integers([0, 4, 0])));
    }

    [Fact]
    public void No_op_of_attention_allocates()
    {
        Tensor qkv = Random((Rows * Time, Width), 6), y = New((Rows * Time, Result)), sums = New((Rows, Heads, Time));
        Tensor dQkv = New((Rows * Time, Width));
        Tensor spans = Integers([0, 5, Time, 2, 0, Time, 0, 0, 9]), counts = Integers([0, 0, 0]), chosen = Integers([-1, 0, 1]);
        Cache cache = NewCache(Time);
        Step();
        long native = _device.Allocations;
        Assert.Equal(0, Allocated.Bytes(Step));
        Assert.Equal(native, _device.Allocations);

        void Step()
        {
            _ops.Attention(qkv, spans, Heads, KvHeads, y, sums);
            _ops.AttentionBackward(y, qkv, spans, Heads, KvHeads, y, sums, dQkv);
            _ops.KvWrite(qkv, Heads, KvHeads, Tensor.None, Tensor.None, cache.Lengths, Tensor.None, cache.Keys, cache.Values);
            foreach (CacheLayout layout in (ReadOnlySpan<CacheLayout>)[CacheLayout.Sequence, CacheLayout.Prompt, CacheLayout.Siblings])
                _ops.CachedAttention(qkv, default, cache.Keys, cache.Values, cache.Lengths, Tensor.None, Heads, KvHeads, layout, y);
            _ops.KvKeep(cache.Keys, cache.Values, cache.Lengths, chosen);
            _ops.Advance(cache.Lengths, counts, 0);
        }
    }

    public void Dispose()
    {
        foreach (DeviceBuffer buffer in _buffers) buffer.Dispose();
        _device.Dispose();
    }

    private float[] Whole(Tensor qkv, int prompt, int end)
    {
        Tensor y = New((Rows * Time, Result)), sums = New((Rows, Heads, Time));
        _ops.Attention(qkv, Integers([0, prompt, end, 0, prompt, end, 0, prompt, end]), Heads, KvHeads, y, sums);
        return y.Span<float>().ToArray();
    }

    private Tensor Extend(Cache cache, Tensor qkv, Tensor counts, CacheLayout layout)
    {
        Tensor y = New((qkv.Shape.D0, Result));
        y.Span<float>().Fill(float.NaN);
        _ops.KvWrite(qkv, Heads, KvHeads, Tensor.None, Tensor.None, cache.Lengths, counts, cache.Keys, cache.Values);
        _ops.CachedAttention(qkv, default, cache.Keys, cache.Values, cache.Lengths, counts, Heads, KvHeads, layout, y);
        return y;
    }

    /// <summary>Tokens start … start + count − 1 of every row, as the new tokens of a step.</summary>
    private Tensor Columns(Tensor qkv, int start, int count)
    {
        Tensor part = New((Rows * count, Width));
        for (int r = 0; r < Rows; r++)
            qkv.Span<float>().Slice((r * Time + start) * Width, count * Width).CopyTo(part.Span<float>()[(r * count * Width)..]);
        return part;
    }

    private static void AssertTokens(float[] whole, int start, int count, Tensor y)
    {
        for (int r = 0; r < Rows; r++)
            AssertClose(
                whole.AsSpan((r * Time + start) * Result, count * Result), y.Span<float>().Slice(r * count * Result, count * Result));
    }

    private static void AssertClose(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual)
    {
        for (int i = 0; i < expected.Length; i++) Assert.Equal(expected[i], actual[i], 1e-5f);
    }

    private static Span<float> Row(Tensor tensor, int row) => tensor.Span<float>().Slice(row * Width, Width);

    private Cache NewCache(int capacity)
    {
        Cache cache = new(New((Rows, capacity, Column)), New((Rows, capacity, Column)), New(Rows, DType.I32));
        cache.Keys.Span<float>().Fill(float.NaN);   // a column that nobody wrote must not be read
        cache.Values.Span<float>().Fill(float.NaN);
        return cache;
    }

    private Tensor Random(Shape shape, ulong seed)
    {
        Tensor tensor = New(shape);
        PhiloxStream random = new(seed);
        foreach (ref float value in tensor.Span<float>()) value = 1.5f * random.NextNormal();
        return tensor;
    }

    private Tensor Integers(int[] values)
    {
        Tensor tensor = New(values.Length, DType.I32);
        values.CopyTo(tensor.Span<int>());
        return tensor;
    }

    private Tensor New(Shape shape, DType type = DType.F32)
    {
        DeviceBuffer buffer = _device.Allocate(shape.Count * type.Size());
        _buffers.Add(buffer);
        return new Tensor(buffer, 0, type, shape);
    }

    private readonly record struct Cache(Tensor Keys, Tensor Values, Tensor Lengths);
}
