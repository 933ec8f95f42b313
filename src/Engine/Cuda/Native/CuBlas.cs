using System.Runtime.InteropServices;

namespace QSharp.Engine;

/// <summary>The part of cuBLAS that the engine uses: plain matrix products. Every function returns a cublasStatus.</summary>
internal static unsafe partial class CuBlas
{
    private const string Library = Libraries.CuBlas;

    public const int TypeF32 = 0, TypeBF16 = 14, Compute32F = 68, DefaultAlgorithm = -1, AllocationFailed = 3;

    [LibraryImport(Library)] public static partial int cublasCreate_v2(out nint handle);
    [LibraryImport(Library)] public static partial int cublasDestroy_v2(nint handle);
    [LibraryImport(Library)] public static partial int cublasGetVersion_v2(nint handle, out int version);
    [LibraryImport(Library)] public static partial int cublasSetStream_v2(nint handle, nint stream);
    [LibraryImport(Library)] public static partial int cublasSetWorkspace_v2(nint handle, nint workspace, nuint bytes);
    [LibraryImport(Library)] public static partial nint cublasGetStatusString(int status);
    [LibraryImport(Library)]
    public static partial int cublasGemmEx(
        nint handle, int transposeA, int transposeB, int m, int n, int k,
        void* alpha, nint a, int aType, int lda, nint b, int bType, int ldb,
        void* beta, nint c, int cType, int ldc, int computeType, int algorithm);
}
