using System.Text;

using QSharp.Engine;
using QSharp.Tests.Kernels;

using Xunit;

namespace QSharp.Tests.StandIns;

/// <summary>The stand-in takes the images and launches that a card takes, and refuses what a card refuses.</summary>
[Collection(CudaCollection.Name)]
public sealed class ModuleTests(CudaFixture cuda)
{
    [Fact]
    public void A_kernel_comes_from_a_cubin_or_from_PTX_of_the_card_s_architecture()
    {
        using Driver driver = new(cuda);
        driver.Device.Kernels.Get("planted", "correct", "");
        KernelCompiler compiler = driver.Device.Kernels.Compiler;
        KernelSource source = compiler.Folder.Read("planted");
        byte[] cubin = compiler.Compile(source, "").Image, ptx = Encoding.UTF8.GetBytes(compiler.Ptx(source, "") + "\0");
        Driver.Assert0(Driver.Load(cubin, "correct").Error);
        Driver.Assert0(Driver.Load(ptx, "correct").Error);
        Assert.Equal(500, Driver.Load(cubin, "no_such_kernel").Error);
        Assert.Equal(500, Driver.Load(ptx, "no_such_kernel").Error);
        Assert.Equal(200, Driver.Load(Encoding.UTF8.GetBytes("not an image\0"), "correct").Error);
        Driver.SetDriver(11_000);
        Assert.Equal(222, Driver.Load(ptx, "correct").Error);
        Driver.SetDriver(12_080);
        Driver.SetCapability(8, 0);
        Assert.Equal(209, Driver.Load(cubin, "correct").Error);
        Assert.Equal(218, Driver.Load(ptx, "correct").Error);
        Driver.SetCapability(10, 0);
        Assert.Equal(209, Driver.Load(cubin, "correct").Error);
        Driver.Assert0(Driver.Load(ptx, "correct").Error);
    }

    [Fact]
    public void A_kernel_that_was_not_built_for_the_stand_in_is_not_found()
    {
        using Driver driver = new(cuda);
        const string Ptx = ".version 7.8\n.target sm_90\n.visible .entry unbuilt(\n.param .u64 unbuilt_param_0\n)\n{\nret;\n}\n\0";
        Assert.Equal(500, Driver.Load(Encoding.UTF8.GetBytes(Ptx), "unbuilt").Error);
        Assert.Contains("no fast build of the kernel unbuilt is loaded", Driver.Report);
    }

    [Fact]
    public void An_image_with_other_parameters_than_the_build_is_refused()
    {
        using Driver driver = new(cuda);
        driver.Device.Kernels.Get("planted", "correct", "");
        const string Ptx = ".version 7.8\n.target sm_90\n.visible .entry correct(.param .u32 a)\n{\nret;\n}\n\0";
        Assert.Equal(200, Driver.Load(Encoding.UTF8.GetBytes(Ptx), "correct").Error);
        Assert.Contains("parameters", Driver.Report);
    }

    [Fact]
    public void Parameters_and_attributes_are_those_of_the_image()
    {
        using Driver driver = new(cuda);
        driver.Device.Kernels.Get("operations", "draw", "");
        KernelCompiler compiler = driver.Device.Kernels.Compiler;
        KernelSource source = compiler.Folder.Read("operations");
        foreach (byte[] image in (byte[][])[compiler.Compile(source, "").Image, Encoding.UTF8.GetBytes(compiler.Ptx(source, "") + "\0")])
        {
            nint draw = Driver.Load(image, "draw").Function;
            (nuint, nuint)[] expected = [(0, 8), (8, 8), (16, 8), (24, 4)];   // int*, float*, unsigned long long, int
            for (int i = 0; i < expected.Length; i++)
            {
                Driver.Assert0(CuDriver.cuFuncGetParamInfo(draw, (nuint)i, out nuint offset, out nuint size));
                Assert.Equal(expected[i], (offset, size));
            }
            Assert.Equal(1, CuDriver.cuFuncGetParamInfo(draw, 4, out _, out _));
        }
        Kernel kernel = driver.Device.Kernels.Get("operations", "copy_async", "");
        Assert.Equal(1024, kernel.SharedBytes);
        Assert.InRange(kernel.Registers, 8, 255);
        Assert.Equal(32, kernel.BlocksPerMultiprocessor(32, 0));
        Assert.Equal(4, kernel.BlocksPerMultiprocessor(32, 48 << 10));
    }

    [Theory]
    [InlineData(1, 65536, 1, 32, 1, 1, 1)]
    [InlineData(1, 1, 65536, 32, 1, 1, 1)]
    [InlineData(0, 1, 1, 32, 1, 1, 1)]
    [InlineData(1, 1, 1, 1025, 1, 1, 1)]
    [InlineData(1, 1, 1, 1, 1, 65, 1)]
    [InlineData(1, 1, 1, 32, 33, 1, 1)]
    [InlineData(1, 1, 1, 1024, 1, 1, 0)]
    [InlineData(1, 65535, 1, 1, 1, 1, 0)]
    public void A_grid_or_block_beyond_the_limits_is_refused(int gx, int gy, int gz, int bx, int by, int bz, int result)
    {
        using Driver driver = new(cuda);
        driver.Device.Kernels.Get("planted", "trap", "");
        KernelCompiler compiler = driver.Device.Kernels.Compiler;
        nint function = Driver.Load(compiler.Compile(compiler.Folder.Read("planted"), "").Image, "trap").Function;
        Assert.Equal(result, Driver.Launch(function, (gx, gy, gz), (bx, by, bz), 0, Driver.Stream(), 0));
    }

    [Fact]
    public void Threads_beyond_launch_bounds_are_refused()
    {
        using Driver driver = new(cuda);
        driver.Device.Kernels.Get("planted", "bounded", "");
        KernelCompiler compiler = driver.Device.Kernels.Compiler;
        KernelSource source = compiler.Folder.Read("planted");
        foreach (byte[] image in (byte[][])[compiler.Compile(source, "").Image, Encoding.UTF8.GetBytes(compiler.Ptx(source, "") + "\0")])
        {
            nint function = Driver.Load(image, "bounded").Function, stream = Driver.Stream(), memory = Driver.Allocate(4);
            Driver.Assert0(Driver.Launch(function, 1, 64, 0, stream, memory));
            Assert.Equal(1, Driver.Launch(function, 1, 65, 0, stream, memory));
        }
    }

    [Fact]
    public void Shared_memory_above_48_KiB_must_be_asked_for_and_ends_at_the_card_s()
    {
        using Driver driver = new(cuda);
        driver.Device.Kernels.Get("planted", "trap", "");
        KernelCompiler compiler = driver.Device.Kernels.Compiler;
        nint function = Driver.Load(compiler.Compile(compiler.Folder.Read("planted"), "").Image, "trap").Function, stream = Driver.Stream();
        Driver.Assert0(Driver.Launch(function, 1, 1, 48 << 10, stream, 0));
        Assert.Equal(1, Driver.Launch(function, 1, 1, (48 << 10) + 1, stream, 0));
        Assert.Equal(1, CuDriver.cuFuncSetAttribute(function, CuDriver.FunctionMaxDynamicShared, (227 << 10) + 1));
        Driver.Assert0(CuDriver.cuFuncSetAttribute(function, CuDriver.FunctionMaxDynamicShared, 227 << 10));
        Driver.Assert0(Driver.Launch(function, 1, 1, 227 << 10, stream, 0));
        Assert.Equal(1, Driver.Launch(function, 1, 1, (227 << 10) + 1, stream, 0));
    }
}
