using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Tests.Kernels;

using Xunit;

namespace QSharp.Tests.StandIns;

/// <summary>The checker names the fault that was planted in a kernel, in any order of threads, and is silent about correct ones.</summary>
[Collection(CudaCollection.Name)]
public sealed class PlantedBugTests(CudaFixture cuda)
{
    [Theory]
    [InlineData("missing_barrier", 64, 719, "race on shared memory")]
    [InlineData("missing_first_barrier", 64, 719, "shared memory that nothing wrote")]
    [InlineData("missing_syncwarp", 32, 719, "race on shared memory")]
    [InlineData("shuffle_for_syncwarp", 32, 719, "race on shared memory")]
    [InlineData("two_blocks", 64, 719, "race on global memory")]
    [InlineData("two_blocks_bytes", 64, 719, "race on global memory")]
    [InlineData("last_block_without_fence", 64, 719, "race on global memory")]
    [InlineData("read_then_write", 64, 719, "race on shared memory")]
    [InlineData("shared_overflow", 64, 700, "out-of-bounds write of 4 bytes in shared memory")]
    [InlineData("global_overflow", 64, 700, "4 bytes past the end of an allocation of 1024 bytes")]
    [InlineData("global_underflow", 64, 700, "4 bytes before the start of an allocation of 1024 bytes")]
    [InlineData("uninitialised", 64, 719, "shared memory that nothing wrote")]
    [InlineData("misaligned", 32, 716, "needs an alignment of 16")]
    [InlineData("divergent_barrier", 64, 719, "meet in different __syncthreads")]
    [InlineData("early_return", 64, 719, "left the kernel")]
    [InlineData("absent_lanes", 32, 719, "which left the kernel|names lanes that have left")]
    [InlineData("missing_wait", 32, 719, "shared memory that nothing wrote")]
    [InlineData("missing_barrier_after_wait", 32, 719, "race on shared memory")]
    [InlineData("null_pointer", 32, 700, "write of 4 bytes at (nil)")]
    [InlineData("trap", 64, 715, "__trap")]
    public void A_fault_is_named(string kernel, int threads, int code, string name)
    {
        for (uint seed = 0; seed < 3; seed++)
        {
            CudaException fault = Assert.Throws<CudaException>(() => Run(kernel, threads, isChecked: true, seed));
            Assert.Equal(code, fault.Code);
            Assert.Contains(kernel, fault.Message);
            Assert.True(name.Split('|').Any(fault.Message.Contains), fault.Message);
        }
    }

    [Theory]
    [InlineData("correct", 64)]
    [InlineData("correct_atomics", 64)]
    [InlineData("correct_last_block", 64)]
    [InlineData("correct_copies", 32)]
    [InlineData("correct_bytes", 64)]
    public void A_correct_kernel_passes(string kernel, int threads)
    {
        for (uint seed = 0; seed < 3; seed++) Run(kernel, threads, isChecked: true, seed);
    }

    [Fact]
    public void The_fast_build_gives_a_wrong_address_away_as_well()
    {
        Assert.Equal(700, Assert.Throws<CudaException>(() => Run("null_pointer", 32, isChecked: false, 0)).Code);
    }

    [Fact]
    public void Freed_memory_is_out_of_reach_in_both_modes()
    {
        foreach (bool isChecked in (bool[])[false, true])
        {
            using CudaDevice device = StandInKernels.Open(cuda, isChecked);
            Tensor x = HostValues.Upload(device, DType.F32, new float[256]);
            long address = x.Address;
            x.Buffer!.Dispose();
            device.Kernels.Get("planted", "correct", "").Launch(2, 64, 0, address);
            CudaException fault = Assert.Throws<CudaException>(device.Synchronize);
            Assert.Equal(700, fault.Code);
            if (isChecked) Assert.Contains("freed", fault.Message);
        }
    }

    [Fact]
    public void What_was_written_before_the_checked_mode_counts_as_written()
    {
        using CudaDevice device = StandInKernels.Open(cuda);
        Kernel fast = device.Kernels.Get("planted", "correct", "");
        Tensor x = HostValues.Upload(device, DType.F32, new float[256]);
        fast.Launch(2, 64, 0, x);
        device.Synchronize();
        StandIn.IsChecked = true;
        using CudaDevice checking = CudaDevice.Open(0, StandInKernels.Folder);
        checking.Kernels.Get("planted", "correct", "").Launch(2, 64, 0, x);
        checking.Synchronize();
    }

    private void Run(string kernel, int threads, bool isChecked, uint seed)
    {
        using CudaDevice device = StandInKernels.Open(cuda, isChecked, seed);
        Tensor x = HostValues.Upload(device, DType.F32, [.. Enumerable.Range(0, 256).Select(i => i == 0 ? 0f : i)]);
        device.Kernels.Get("planted", kernel, "").Launch(2, threads, 0, x);
        device.Synchronize();
        x.Buffer!.Dispose();
    }
}
