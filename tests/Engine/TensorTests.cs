using QSharp.Engine;

using Xunit;

namespace QSharp.Tests.Engine;

public sealed class TensorTests : IDisposable
{
    private readonly CpuDevice _device = new(1);
    private readonly DeviceBuffer _memory;
    private readonly Tensor _tensor;   // [4, 3, 2] of 0 … 23

    public TensorTests()
    {
        (_tensor, _memory) = Arena.Build(_device, arena => arena.Take((4, 3, 2)));
        for (int i = 0; i < 24; i++) _tensor.Span<float>()[i] = i;
    }

    public void Dispose()
    {
        _memory.Dispose();
        _device.Dispose();
    }

    [Fact]
    public void A_slice_is_one_element_of_the_slowest_dimension()
    {
        Tensor slice = _tensor.Slice(2);
        Assert.Equal((Shape)(3, 2), slice.Shape);
        Assert.Equal([12, 13, 14, 15, 16, 17], slice.Span<float>().ToArray());
        Assert.Equal([16, 17], slice.Slice(2).Span<float>().ToArray());
        Assert.Equal([17], slice.Slice(2).Slice(1).Span<float>().ToArray());
    }

    [Fact]
    public void A_range_keeps_the_rank()
    {
        Tensor range = _tensor.Range(1, 2);
        Assert.Equal((Shape)(2, 3, 2), range.Shape);
        Assert.Equal(6, range.Span<float>()[0]);
        Assert.Equal(17, range.Span<float>()[11]);
        Assert.Equal(0, _tensor.Range(4, 0).Count);
        Assert.Equal([5, 6, 7], _tensor.As(24).Range(5, 3).Span<float>().ToArray());
    }

    [Fact]
    public void Another_shape_sees_the_same_elements()
    {
        Tensor flat = _tensor.As((2, 12));
        Assert.Equal(_tensor.Address, flat.Address);
        Assert.Equal(12, flat.Slice(1).Span<float>()[0]);
        flat.Span<float>()[0] = -1;
        Assert.Equal(-1, _tensor.Span<float>()[0]);
    }

    [Fact]
    public void Slices_count_in_the_size_of_their_type()
    {
        Tensor half = new(_memory, 0, DType.BF16, (4, 6));
        Assert.Equal(half.Address + 2 * 6 * 2, half.Slice(2).Address);
        Assert.Equal(half.Address + 3 * 6 * 2, half.Range(3, 1).Address);
        Assert.Equal(48, half.Bytes);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(4)]
    public void A_slice_outside_is_refused(int index) => Assert.Throws<ArgumentOutOfRangeException>(() => _tensor.Slice(index));

    [Theory]
    [InlineData(-1, 2)]
    [InlineData(3, 2)]
    [InlineData(0, -1)]
    [InlineData(5, 0)]
    [InlineData(int.MaxValue, int.MaxValue)]
    public void A_range_outside_is_refused(int start, int count)
    {
        ArgumentException error = Assert.Throws<ArgumentException>(() => _tensor.Range(start, count));
        Assert.Contains("[4, 3, 2]", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_shape_of_another_count_is_refused()
    {
        ArgumentException error = Assert.Throws<ArgumentException>(() => _tensor.As((5, 5)));
        Assert.Equal("[4, 3, 2] has 24 elements and cannot be seen as [5, 5].", error.Message);
    }

    [Fact]
    public void A_span_needs_host_memory_and_an_element_of_the_same_size()
    {
        Assert.Throws<ArgumentException>(() => _tensor.Span<double>().Length);
        Assert.Throws<ArgumentException>(() => Tensor.None.Span<float>().Length);
        Assert.Equal(24, _tensor.Span<int>().Length);
    }

    [Fact]
    public void None_is_the_default()
    {
        Assert.True(Tensor.None.IsNone);
        Assert.Equal(default, Tensor.None);
        Assert.Equal(0, Tensor.None.Address);
        Assert.Equal(0, Tensor.None.Count);
        Assert.Equal("none", Tensor.None.ToString());
        Assert.False(_tensor.IsNone);
    }

    [Fact]
    public void Shapes_know_their_rows()
    {
        Shape shape = (4, 3, 2);
        Assert.Equal((24L, 12, 2, 3), (shape.Count, shape.Rows, shape.Last, shape.Rank));
        Assert.Equal((Shape)(3, 2), shape.Inner);
        Assert.Equal((1, 5), (((Shape)5).Rows, ((Shape)5).Last));
        Assert.Equal((Shape)1, ((Shape)5).Inner);
        Assert.Equal(0, ((Shape)(3, 0)).Rows);
        Assert.Equal(1L << 40, ((Shape)(1 << 20, 1 << 20)).Count);
    }

    [Fact]
    public void Copies_to_and_from_the_host_check_their_sizes()
    {
        float[] values = [.. Enumerable.Range(0, 24).Select(i => i * 0.5f)], back = new float[24];
        _device.Upload<float>(values, _tensor);
        _device.Download<float>(_tensor, back);
        Assert.Equal(values, back);
        Assert.Throws<ArgumentException>(() => _device.Upload<float>(values.AsSpan(1), _tensor));
        Assert.Throws<ArgumentException>(() => _device.Upload<double>(new double[24], _tensor));
        Assert.Throws<ArgumentException>(() => _device.Download<float>(_tensor, new float[25]));
    }
}
