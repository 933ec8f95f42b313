using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Tests.Kernels;

using Xunit;

namespace QSharp.Tests.StandIns;

/// <summary>The stand-in's driver behaves as a card's where host code could go wrong: streams, captures, threads, failures.</summary>
[Collection(CudaCollection.Name)]
public sealed unsafe class DriverTests(CudaFixture cuda)
{
    [Fact]
    public void A_stream_does_nothing_until_it_is_waited_for()
    {
        using Driver driver = new(cuda);
        nint memory = Driver.Allocate(4), stream = Driver.Stream();
        int copy = 5;
        Driver.Assert0(Driver.Set(memory, 1, 4, stream));
        Driver.Assert0(CuDriver.cuMemcpyDtoHAsync_v2((nint)(&copy), memory, 4, stream));
        Assert.Equal((5, 600), (copy, Driver.StreamQuery(stream)));
        Driver.Assert0(CuDriver.cuStreamSynchronize(stream));
        Assert.Equal((0x01010101, 0), (copy, Driver.StreamQuery(stream)));
    }

    [Fact]
    public void An_event_orders_two_streams_and_tells_the_time_between()
    {
        using Driver driver = new(cuda);
        nint memory = Driver.Allocate(4), first = Driver.Stream(), second = Driver.Stream(), start = Driver.Event(), end = Driver.Event();
        int copy = 0;
        Driver.Assert0(CuDriver.cuEventRecord(start, first));
        Driver.Assert0(Driver.Set(memory, 1, 4, first));
        Driver.Assert0(CuDriver.cuEventRecord(end, first));
        Driver.Assert0(Driver.StreamWaitEvent(second, end));
        Driver.Assert0(CuDriver.cuMemcpyDtoHAsync_v2((nint)(&copy), memory, 4, second));
        Assert.Equal(600, Driver.EventQuery(end));
        Assert.Equal(600, CuDriver.cuEventElapsedTime(out _, start, end));
        Driver.Assert0(CuDriver.cuStreamSynchronize(second));
        Assert.Equal((0x01010101, 0), (copy, Driver.EventQuery(end)));
        Driver.Assert0(CuDriver.cuEventElapsedTime(out float milliseconds, start, end));
        Assert.True(milliseconds > 0);
        Assert.Equal(400, CuDriver.cuEventElapsedTime(out _, start, Driver.Event()));   // never recorded
    }

    [Fact]
    public void A_capture_runs_when_it_is_launched_and_as_often()
    {
        using Driver driver = new(cuda);
        nint stream = Driver.Stream();
        Tensor x = HostValues.Upload(driver.Device, DType.F32, new float[256]);
        Kernel kernel = driver.Device.Kernels.Get("planted", "correct_atomics", "");
        using (RecordedStep step = driver.Device.Record(() => kernel.Launch(2, 64, 0, x)))
            for (int i = 0; i < 3; i++) step.Run();
        Assert.Equal(3 * 2 * 64, HostValues.Download<float>(x)[0]);
    }

    [Fact]
    public void Waiting_or_allocating_ends_a_capture()
    {
        using Driver driver = new(cuda);
        nint stream = Driver.Stream(), memory = Driver.Allocate(4);
        foreach (Func<int> call in (Func<int>[])[
            () => CuDriver.cuStreamSynchronize(stream), Driver.CtxSynchronize, () => Driver.StreamQuery(stream),
            () => CuDriver.cuMemAlloc_v2(out _, 4), () => CuDriver.cuMemFree_v2(memory)])
        {
            Driver.Assert0(CuDriver.cuStreamBeginCapture_v2(stream, CuDriver.CaptureThreadLocal));
            Driver.Assert0(Driver.Set(memory, 1, 4, stream));
            Assert.Equal(900, call());
            Assert.Equal(901, CuDriver.cuStreamEndCapture(stream, out nint graph));
            Assert.Equal(0, graph);
        }
    }

    [Fact]
    public void A_thread_without_a_current_context_is_refused()
    {
        using Driver driver = new(cuda);
        nint context = driver.Context;
        (int Before, int After) results = default;
        Thread thread = new(() =>
        {
            int before = CuDriver.cuMemGetInfo_v2(out _, out _);
            Driver.Assert0(CuDriver.cuCtxSetCurrent(context));
            results = (before, CuDriver.cuMemGetInfo_v2(out _, out _));
        });
        thread.Start();
        thread.Join();
        Assert.Equal((201, 0), results);
    }

    [Fact]
    public void A_context_that_was_released_is_refused()
    {
        Driver driver = new(cuda);
        driver.Device.Dispose();
        Assert.Equal(709, CuDriver.cuMemGetInfo_v2(out _, out _));
    }

    [Fact]
    public void Memory_ends_where_the_card_s_does_and_comes_back()
    {
        using Driver driver = new(cuda);
        nuint used = Used();
        StandIn.qsstandin_memory(used + (3 << 20));
        nint memory = Driver.Allocate(2 << 20);
        Assert.Equal(2, CuDriver.cuMemAlloc_v2(out _, 2 << 20));
        Assert.Throws<UserException>(() => driver.Device.Allocate(2 << 20));
        Driver.Assert0(CuDriver.cuMemFree_v2(memory));
        Assert.Equal(1, CuDriver.cuMemFree_v2(memory));
        Assert.Equal(used, Used());
        nint again = Driver.Allocate(2 << 20);
        Assert.NotEqual(memory, again);

        static nuint Used()
        {
            Driver.Assert0(CuDriver.cuMemGetInfo_v2(out nuint free, out nuint total));
            return total - free;
        }
    }

    [Fact]
    public void Fresh_memory_is_not_a_number()
    {
        using Driver driver = new(cuda);
        float value = 0;
        Driver.Assert0(CuDriver.cuMemcpyDtoHAsync_v2((nint)(&value), Driver.Allocate(4), 4, 0));
        Assert.True(float.IsNaN(value));
    }

    [Fact]
    public void A_copy_outside_an_allocation_is_refused()
    {
        using Driver driver = new(cuda);
        nint memory = Driver.Allocate(8);
        long value = 0;
        Assert.Equal(1, CuDriver.cuMemcpyDtoHAsync_v2((nint)(&value), memory + 4, 8, 0));
        Assert.Equal(1, Driver.Set(memory, 0, 9, 0));
        Assert.Equal(1, Driver.Set(12345, 0, 1, 0));
    }

    [Fact]
    public void The_nth_call_fails_as_planted_and_only_that()
    {
        using Driver driver = new(cuda);
        StandIn.qsstandin_fail("cuMemGetInfo_v2", 2, 999);
        Driver.Assert0(CuDriver.cuMemGetInfo_v2(out _, out _));
        Assert.Equal(999, CuDriver.cuMemGetInfo_v2(out _, out _));
        Assert.Contains("cuMemGetInfo_v2", Driver.Report);
        StandIn.qsstandin_reset();
        Driver.Assert0(CuDriver.cuMemGetInfo_v2(out _, out _));
        StandIn.qsstandin_fail("*", 2, 2);
        nint memory = Driver.Allocate(4);
        Assert.Equal(2, CuDriver.cuMemFree_v2(memory));
        Driver.Assert0(CuDriver.cuMemFree_v2(memory));
        Assert.Equal(2, StandIn.qsstandin_calls("cuMemFree_v2"));
    }

    [Fact]
    public void A_fault_on_the_card_stays_until_its_context_is_released()
    {
        using (Driver driver = new(cuda))
        {
            StandIn.qsstandin_fail("cuMemGetInfo_v2", 1, 214);
            Assert.Equal(214, CuDriver.cuMemGetInfo_v2(out _, out _));
            Assert.Equal(214, CuDriver.cuMemAlloc_v2(out _, 4));
            driver.Device.Lost(Cuda.Failure(214, "", "cuMemAlloc_v2"));
        }
        using Driver next = new(cuda);
        Driver.Assert0(CuDriver.cuMemFree_v2(Driver.Allocate(4)));
    }

    [Fact]
    public void Every_entry_point_is_exported_under_its_name()
    {
        using Driver driver = new(cuda);
        List<string> names = [];
        while (Driver.Api(names.Count) is string name) names.Add(name);
        Assert.All(names, name => Assert.NotEqual(0, Driver.Export(name)));
        foreach (Type bindings in (Type[])[typeof(CuDriver), typeof(CuBlas)])
            foreach (string bound in bindings.GetMethods().Select(method => method.Name).Where(name => name.StartsWith("cu")))
                Assert.True(names.Contains(bound) || bound is "cuGetErrorName" or "cuGetErrorString" or "cublasGetStatusString", bound);
    }

    [Fact]
    public void There_are_as_many_cards_as_a_test_wants()
    {
        using Driver driver = new(cuda);
        Driver.SetDevices(2);
        Assert.Equal(2, CudaDevice.Count());
        using (CudaDevice second = CudaDevice.Open(1, StandInKernels.Folder))
        {
            Tensor x = HostValues.Upload(second, DType.F32, 1f, 2f);
            Assert.Equal([1f, 2f], HostValues.Download<float>(x));
        }
        Driver.SetDevices(0);
        Assert.Contains("no CUDA card", Assert.Throws<UserException>(() => CudaDevice.Count()).Message);
    }
}
