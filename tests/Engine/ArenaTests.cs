using QSharp.Engine;

using Xunit;

namespace QSharp.Tests.Engine;

public class ArenaTests
{
    private sealed record Layout(Tensor Small, Tensor Wide, Tensor Ids, Tensor Empty, Tensor Last)
    {
        public static Layout Take(Arena arena) => new(
            arena.Take(1), arena.Take((3, 100)), arena.Take(65, DType.I32), arena.Take((0, 5)), arena.Take((2, 3, 4, 5), DType.BF16));

        public Tensor[] All => [Small, Wide, Ids, Empty, Last];
    }

    [Fact]
    public void The_measured_size_is_the_allocated_one()
    {
        using CpuDevice device = new(1);
        long bytes = Arena.Measure(Layout.Take);
        Assert.Equal(256 + 1280 + 512 + 0 + 256, bytes);
        Assert.Equal(0, device.Allocations);
        (Layout _, DeviceBuffer memory) = Arena.Build(device, Layout.Take);
        using (memory)
        {
            Assert.Equal(bytes, memory.Bytes);
            Assert.Equal(bytes, device.AllocatedBytes);
            Assert.Equal(1, device.Allocations);
        }
        Assert.Equal(0, device.AllocatedBytes);
    }

    [Fact]
    public void Tensors_are_aligned_zeroed_and_apart()
    {
        using CpuDevice device = new(1);
        (Layout layout, DeviceBuffer memory) = Arena.Build(device, Layout.Take);
        using DeviceBuffer _ = memory;
        nint end = memory.Address;
        foreach (Tensor tensor in layout.All)
        {
            Assert.Same(memory, tensor.Buffer);
            Assert.Equal(0, tensor.Address % 128);
            Assert.True(tensor.Address >= end, "two tensors overlap");
            end = tensor.Address + (nint)tensor.Bytes;
        }
        Assert.True(end <= memory.Address + memory.Bytes);
        Assert.All(layout.Wide.Span<float>().ToArray(), value => Assert.Equal(0, value));
        Assert.Equal("BF16[2, 3, 4, 5]", layout.Last.ToString());
    }

    [Fact]
    public void The_layout_runs_twice_without_memory_and_with_it()
    {
        using CpuDevice device = new(1);
        List<(bool IsNone, long Used)> passes = [];
        (Tensor _, DeviceBuffer memory) = Arena.Build(device, arena =>
        {
            Tensor tensor = arena.Take(10);
            passes.Add((tensor.IsNone, arena.Used));
            return tensor;
        });
        using DeviceBuffer _ = memory;
        Assert.Equal([(true, 256), (false, 256)], passes);
    }

    [Fact]
    public void A_layout_that_takes_more_the_second_time_is_refused()
    {
        using CpuDevice device = new(1);
        int pass = 0;
        InvalidOperationException error = Assert.Throws<InvalidOperationException>(
            () => Arena.Build(device, arena => arena.Take(100 * ++pass)));
        Assert.Contains("second pass", error.Message, StringComparison.Ordinal);
        Assert.Equal(0, device.AllocatedBytes);
    }

    [Fact]
    public void An_empty_layout_builds()
    {
        using CpuDevice device = new(1);
        (Tensor tensor, DeviceBuffer memory) = Arena.Build(device, arena => arena.Take((0, 7)));
        using DeviceBuffer _ = memory;
        Assert.False(tensor.IsNone);
        Assert.Equal(0, tensor.Span<float>().Length);
    }
}
