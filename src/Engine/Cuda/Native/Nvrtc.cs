using System.Runtime.InteropServices;

namespace QSharp.Engine;

/// <summary>The part of NVRTC, the run-time compiler, that the engine uses: every function returns an nvrtcResult.</summary>
internal static unsafe partial class Nvrtc
{
    private const string Library = Libraries.Nvrtc;

    public const int CompilationError = 6;

    [LibraryImport(Library)] public static partial int nvrtcVersion(out int major, out int minor);
    [LibraryImport(Library)] public static partial int nvrtcGetNumSupportedArchs(out int count);
    [LibraryImport(Library)] public static partial int nvrtcGetSupportedArchs(int* architectures);
    [LibraryImport(Library)]
    public static partial int nvrtcCreateProgram(out nint program, byte* source, byte* name, int count, byte** headers, byte** includeNames);
    [LibraryImport(Library)] public static partial int nvrtcDestroyProgram(ref nint program);
    [LibraryImport(Library)] public static partial int nvrtcCompileProgram(nint program, int count, byte** options);
    [LibraryImport(Library)] public static partial int nvrtcGetProgramLogSize(nint program, out nuint bytes);
    [LibraryImport(Library)] public static partial int nvrtcGetProgramLog(nint program, byte* log);
    [LibraryImport(Library)] public static partial int nvrtcGetPTXSize(nint program, out nuint bytes);
    [LibraryImport(Library)] public static partial int nvrtcGetPTX(nint program, byte* ptx);
    [LibraryImport(Library)] public static partial int nvrtcGetCUBINSize(nint program, out nuint bytes);
    [LibraryImport(Library)] public static partial int nvrtcGetCUBIN(nint program, byte* cubin);
    [LibraryImport(Library)] public static partial nint nvrtcGetErrorString(int error);
}
