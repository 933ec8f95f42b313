using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace QSharp.Engine;

/// <summary>
/// Ranges for Nsight Systems. NVTX 3 is no library: a profiler names one of its own in NVTX_INJECTION64_PATH, and the program
/// hands it tables of empty function slots, which it fills (NVTX 3, nvtxInit.h and nvtxTypes.h). Without a profiler a range
/// costs one comparison.
/// </summary>
internal static unsafe class Nvtx
{
    private const int CallbacksTable = 1, CoreModule = 1, Modules = 8, Slots = 32, CoreSlots = 16;   // ids and sizes of NVTX 3
    private const int RangePush = 9, RangePop = 11;

    private static readonly ConcurrentDictionary<string, nint> Names = [];
    private static readonly nint* Functions;      // [Modules][Slots], filled by the profiler
    private static readonly nint** Table;         // [Modules][Slots] addresses of the slots
    private static readonly nint* Callbacks;      // { bytes, GetModuleFunctionTable }

    static Nvtx()
    {
        Functions = (nint*)NativeMemory.AllocZeroed(Modules * Slots, (nuint)sizeof(nint));
        Table = (nint**)NativeMemory.AllocZeroed(Modules * Slots, (nuint)sizeof(nint));
        for (int i = 0; i < Modules * Slots; i++)
            if (i % Slots > 0) Table[i] = Functions + i;   // slot 0 means nothing
        Callbacks = (nint*)NativeMemory.AllocZeroed(2, (nuint)sizeof(nint));
        Callbacks[0] = 2 * sizeof(nint);
        delegate* unmanaged[Cdecl]<int, nint***, uint*, int> module = &GetModuleFunctionTable;
        Callbacks[1] = (nint)module;
        if (Environment.GetEnvironmentVariable("NVTX_INJECTION64_PATH") is { Length: > 0 } path) Attach(path);
    }

    /// <summary>Whether a profiler takes ranges.</summary>
    public static bool IsAttached => Functions[CoreModule * Slots + RangePush] != 0;

    /// <summary>Loads a profiler's library; a library that will not is as none.</summary>
    public static void Attach(string path)
    {
        if (!NativeLibrary.TryLoad(path, out nint library) || !NativeLibrary.TryGetExport(library, "InitializeInjectionNvtx2", out nint entry)) return;
        delegate* unmanaged[Cdecl]<uint, void*> tables = &GetExportTable;
        if (((delegate* unmanaged[Cdecl]<nint, int>)entry)((nint)tables) == 0) Detach();
    }

    /// <summary>Gives ranges to nobody any more.</summary>
    public static void Detach() => Functions[CoreModule * Slots + RangePush] = 0;

    /// <summary>Begins a range of the calling thread.</summary>
    public static void Push(string name)
    {
        nint text = Names.GetOrAdd(name, Marshal.StringToCoTaskMemUTF8);
        ((delegate* unmanaged[Cdecl]<nint, int>)Functions[CoreModule * Slots + RangePush])(text);
    }

    /// <summary>Ends the calling thread's innermost range.</summary>
    public static void Pop()
    {
        nint pop = Functions[CoreModule * Slots + RangePop];
        if (pop != 0) ((delegate* unmanaged[Cdecl]<int>)pop)();
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void* GetExportTable(uint id) => id == CallbacksTable ? Callbacks : null;

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int GetModuleFunctionTable(int module, nint*** table, uint* size)
    {
        if (module is < 1 or >= Modules) return 0;
        *table = Table + module * Slots;
        *size = (uint)(module == CoreModule ? CoreSlots : Slots);
        return 1;
    }
}
