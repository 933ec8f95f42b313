using System.Runtime.InteropServices;

namespace QSharp.Bench;

/// <summary>The peer of matrix products, where the machine has it (Debian: libopenblas0-pthread).</summary>
internal sealed unsafe partial class OpenBlas
{
    private const int RowMajor = 101, Plain = 111, Transposed = 112;

    private readonly delegate* unmanaged<int, int, int, int, int, int, float, float*, int, float*, int, float, float*, int, void> _multiply;
    private readonly delegate* unmanaged<int, void> _setThreads;
    private readonly delegate* unmanaged<byte*> _core;
    private readonly delegate* unmanaged<byte*> _config;

    private OpenBlas(nint library)
    {
        _multiply = (delegate* unmanaged<int, int, int, int, int, int, float, float*, int, float*, int, float, float*, int, void>)
            NativeLibrary.GetExport(library, "cblas_sgemm");
        _setThreads = (delegate* unmanaged<int, void>)NativeLibrary.GetExport(library, "openblas_set_num_threads");
        _core = (delegate* unmanaged<byte*>)NativeLibrary.GetExport(library, "openblas_get_corename");
        _config = (delegate* unmanaged<byte*>)NativeLibrary.GetExport(library, "openblas_get_config");
    }

    /// <summary>Version and the kernels it chose.</summary>
    public string Name => $"{Marshal.PtrToStringUTF8((nint)_config())}; kernels: {Marshal.PtrToStringUTF8((nint)_core())}";

    /// <summary>Null where there is none.</summary>
    public static OpenBlas? Find()
    {
        // These make the library use kernels for other machines than this one. The runtime's own copy of the environment
        // is not the one that the library reads.
        _ = UnsetEnvironment("OPENBLAS_CORETYPE");
        _ = UnsetEnvironment("OPENBLAS_L2_SIZE");
        return NativeLibrary.TryLoad("libopenblas.so.0", out nint library) ? new OpenBlas(library) : null;
    }

    public void SetThreads(int threads) => _setThreads(threads);

    /// <summary>C[m, n] = op(A)·op(B) + beta·C.</summary>
    public void Multiply(bool transposeA, bool transposeB, int m, int n, int k, float* a, float* b, float beta, float* c) =>
        _multiply(
            RowMajor, transposeA ? Transposed : Plain, transposeB ? Transposed : Plain, m, n, k,
            1, a, transposeA ? m : k, b, transposeB ? k : n, beta, c, n);

    [LibraryImport("libc", EntryPoint = "unsetenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int UnsetEnvironment(string name);
}
