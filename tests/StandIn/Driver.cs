using System.Runtime.InteropServices;

using QSharp.Engine;
using QSharp.Tests.Kernels;

namespace QSharp.Tests.StandIns;

/// <summary>The stand-in's driver called directly: entry points that the engine does not bind, and a device that is current.</summary>
internal sealed unsafe class Driver : IDisposable
{
    public Driver(CudaFixture cuda, bool isChecked = false)
    {
        Device = StandInKernels.Open(cuda, isChecked);
        Device.MakeCurrent();
    }

    public CudaDevice Device { get; }

    public nint Context
    {
        get
        {
            nint context;
            Assert0(((delegate* unmanaged<nint*, int>)Export("cuCtxGetCurrent"))(&context));
            return context;
        }
    }

    public static string Report => Marshal.PtrToStringUTF8(StandIn.qsstandin_report())!;

    public static nint Export(string name) =>
        NativeLibrary.GetExport(NativeLibrary.Load(Libraries.Report().Single(library => library.Name == "cuda").Found!), name);

    public static int CtxSynchronize() => ((delegate* unmanaged<int>)Export("cuCtxSynchronize"))();

    public static int StreamQuery(nint stream) => ((delegate* unmanaged<nint, int>)Export("cuStreamQuery"))(stream);

    public static int StreamWaitEvent(nint stream, nint e) =>
        ((delegate* unmanaged<nint, nint, uint, int>)Export("cuStreamWaitEvent"))(stream, e, 0);

    public static int EventQuery(nint e) => ((delegate* unmanaged<nint, int>)Export("cuEventQuery"))(e);

    public static void SetCapability(int major, int minor) =>
        ((delegate* unmanaged<int, int, void>)Export("qsstandin_capability"))(major, minor);

    public static void SetDriver(int version) => ((delegate* unmanaged<int, void>)Export("qsstandin_driver"))(version);

    public static void SetDevices(int count) => ((delegate* unmanaged<int, void>)Export("qsstandin_devices"))(count);

    /// <summary>The name of an entry point, by number; null past the last.</summary>
    public static string? Api(int index) => Marshal.PtrToStringUTF8(((delegate* unmanaged<int, nint>)Export("qsstandin_api"))(index));

    public static void Assert0(int result) => Xunit.Assert.True(result == 0, $"{result}: {Report}");

    public static nint Stream()
    {
        Assert0(CuDriver.cuStreamCreate(out nint stream, CuDriver.StreamNonBlocking));
        return stream;
    }

    public static nint Event()
    {
        Assert0(CuDriver.cuEventCreate(out nint e, 0));
        return e;
    }

    public static nint Allocate(nuint bytes)
    {
        Assert0(CuDriver.cuMemAlloc_v2(out nint address, bytes));
        return address;
    }

    public static int Set(nint address, byte value, nuint bytes, nint stream) => CuDriver.cuMemsetD8Async(address, value, bytes, stream);

    /// <summary>Loads an image as a module and looks a function up: the first error, and the function.</summary>
    public static (int Error, nint Function) Load(byte[] image, string name)
    {
        fixed (byte* first = image)
        {
            int error = CuDriver.cuModuleLoadDataEx(out nint module, first, 0, null, null);
            return error != 0 ? (error, 0) : (CuDriver.cuModuleGetFunction(out nint function, module, name), function);
        }
    }

    public static int Launch(nint function, Dim3 grid, Dim3 block, uint shared, nint stream, nint argument)
    {
        void* pointer = &argument;
        return CuDriver.cuLaunchKernel(
            function, (uint)grid.X, (uint)grid.Y, (uint)grid.Z, (uint)block.X, (uint)block.Y, (uint)block.Z,
            shared, stream, &pointer, null);
    }

    public void Dispose()
    {
        StandIn.qsstandin_reset();
        Device.Dispose();
    }
}
