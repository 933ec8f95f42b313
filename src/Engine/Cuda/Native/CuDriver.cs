using System.Runtime.InteropServices;

namespace QSharp.Engine;

/// <summary>The part of the CUDA driver API that the engine uses, as it is: every function returns a CUresult.</summary>
internal static unsafe partial class CuDriver
{
    private const string Library = Libraries.Cuda;

    public const int InvalidValue = 1, OutOfMemory = 2, NotFound = 500, NotReady = 600;
    public const uint StreamNonBlocking = 1;
    public const int CaptureThreadLocal = 1;
    public const int FunctionSharedBytes = 1, FunctionRegisters = 4, FunctionMaxDynamicShared = 8;
    public const int DeviceClockKilohertz = 13, DeviceMultiprocessors = 16, DeviceMemoryKilohertz = 36, DeviceMemoryBusBits = 37, DeviceL2Bytes = 38;
    public const int DeviceMajor = 75, DeviceMinor = 76, DeviceSharedPerMultiprocessor = 81, DeviceSharedPerBlock = 97;

    [LibraryImport(Library)] public static partial int cuInit(uint flags);
    [LibraryImport(Library)] public static partial int cuDriverGetVersion(out int version);
    [LibraryImport(Library)] public static partial int cuDeviceGetCount(out int count);
    [LibraryImport(Library)] public static partial int cuDeviceGet(out int device, int ordinal);
    [LibraryImport(Library)] public static partial int cuDeviceGetName(byte* name, int length, int device);
    [LibraryImport(Library)] public static partial int cuDeviceGetAttribute(out int value, int attribute, int device);
    [LibraryImport(Library)] public static partial int cuDeviceTotalMem_v2(out nuint bytes, int device);
    [LibraryImport(Library)] public static partial int cuDevicePrimaryCtxRetain(out nint context, int device);
    [LibraryImport(Library)] public static partial int cuDevicePrimaryCtxRelease_v2(int device);
    [LibraryImport(Library)] public static partial int cuCtxSetCurrent(nint context);

    [LibraryImport(Library)] public static partial int cuMemGetInfo_v2(out nuint free, out nuint total);
    [LibraryImport(Library)] public static partial int cuMemAlloc_v2(out nint address, nuint bytes);
    [LibraryImport(Library)] public static partial int cuMemFree_v2(nint address);
    [LibraryImport(Library)] public static partial int cuMemHostAlloc(out nint address, nuint bytes, uint flags);
    [LibraryImport(Library)] public static partial int cuMemFreeHost(nint address);
    [LibraryImport(Library)] public static partial int cuMemsetD8Async(nint address, byte value, nuint count, nint stream);
    [LibraryImport(Library)] public static partial int cuMemsetD32Async(nint address, uint value, nuint count, nint stream);
    [LibraryImport(Library)] public static partial int cuMemcpyHtoDAsync_v2(nint destination, nint source, nuint bytes, nint stream);
    [LibraryImport(Library)] public static partial int cuMemcpyDtoHAsync_v2(nint destination, nint source, nuint bytes, nint stream);
    [LibraryImport(Library)] public static partial int cuMemcpyDtoDAsync_v2(nint destination, nint source, nuint bytes, nint stream);

    [LibraryImport(Library)] public static partial int cuModuleLoadDataEx(out nint module, byte* image, uint options, int* names, void** values);
    [LibraryImport(Library)] public static partial int cuModuleUnload(nint module);
    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int cuModuleGetFunction(out nint function, nint module, string name);
    [LibraryImport(Library)] public static partial int cuFuncGetAttribute(out int value, int attribute, nint function);
    [LibraryImport(Library)] public static partial int cuFuncSetAttribute(nint function, int attribute, int value);
    [LibraryImport(Library)] public static partial int cuFuncGetParamInfo(nint function, nuint index, out nuint offset, out nuint size);
    [LibraryImport(Library)]
    public static partial int cuLaunchKernel(
        nint function, uint gridX, uint gridY, uint gridZ, uint blockX, uint blockY, uint blockZ,
        uint sharedBytes, nint stream, void** arguments, void** extra);
    [LibraryImport(Library)]
    public static partial int cuOccupancyMaxActiveBlocksPerMultiprocessor(out int blocks, nint function, int threads, nuint sharedBytes);

    [LibraryImport(Library)] public static partial int cuStreamCreate(out nint stream, uint flags);
    [LibraryImport(Library)] public static partial int cuStreamDestroy_v2(nint stream);
    [LibraryImport(Library)] public static partial int cuStreamSynchronize(nint stream);
    [LibraryImport(Library)] public static partial int cuStreamBeginCapture_v2(nint stream, int mode);
    [LibraryImport(Library)] public static partial int cuStreamEndCapture(nint stream, out nint graph);
    [LibraryImport(Library)] public static partial int cuGraphInstantiateWithFlags(out nint executable, nint graph, ulong flags);
    [LibraryImport(Library)] public static partial int cuGraphLaunch(nint executable, nint stream);
    [LibraryImport(Library)] public static partial int cuGraphDestroy(nint graph);
    [LibraryImport(Library)] public static partial int cuGraphExecDestroy(nint executable);

    [LibraryImport(Library)] public static partial int cuEventCreate(out nint created, uint flags);
    [LibraryImport(Library)] public static partial int cuEventDestroy_v2(nint destroyed);
    [LibraryImport(Library)] public static partial int cuEventRecord(nint recorded, nint stream);
    [LibraryImport(Library)] public static partial int cuEventSynchronize(nint awaited);
    [LibraryImport(Library)] public static partial int cuEventElapsedTime(out float milliseconds, nint start, nint end);

    [LibraryImport(Library)] public static partial int cuGetErrorName(int error, out nint text);
    [LibraryImport(Library)] public static partial int cuGetErrorString(int error, out nint text);
}
