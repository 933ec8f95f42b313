namespace QSharp.Engine;

/// <summary>
/// Matrix products by cuBLAS, and nothing else of it. Matrices are row-major here; cuBLAS is column-major, and a row-major
/// [R, C] is its [C, R], so y = op(a)·op(b) is asked as yᵀ = op(b)ᵀ·op(a)ᵀ. Sums are fp32. The workspace is fixed, so that
/// results repeat and a recorded step allocates nothing.
/// </summary>
public sealed unsafe class Blas : IDisposable
{
    internal const long WorkspaceBytes = 32L << 20;

    private readonly CudaDevice _device;
    private readonly nint _handle;
    private readonly DeviceBuffer _workspace;

    internal Blas(CudaDevice device)
    {
        Libraries.Require(Libraries.CuBlas);
        _device = device;
        _workspace = device.Allocate(WorkspaceBytes);
        try
        {
            Check(CuBlas.cublasCreate_v2(out _handle), nameof(CuBlas.cublasCreate_v2));
            Check(CuBlas.cublasSetStream_v2(_handle, device.Stream), nameof(CuBlas.cublasSetStream_v2));
            Check(CuBlas.cublasSetWorkspace_v2(_handle, _workspace.Address, (nuint)WorkspaceBytes), nameof(CuBlas.cublasSetWorkspace_v2));
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>y = op(a)·op(b), or y += op(a)·op(b).</summary>
    /// <param name="a">[m, k] row-major, or [k, m] if transposed; F32 or BF16.</param>
    /// <param name="b">[k, n], or [n, k] if transposed; of a's type.</param>
    /// <param name="y">[m, n], F32 or BF16.</param>
    public void Multiply(Tensor a, bool transposeA, Tensor b, bool transposeB, Tensor y, int m, int n, int k, bool adds)
    {
        float alpha = 1, beta = adds ? 1 : 0;
        _device.MakeCurrent();
        int status = CuBlas.cublasGemmEx(
            _handle, transposeB ? 1 : 0, transposeA ? 1 : 0, n, m, k,
            &alpha, b.Address, Type(b), transposeB ? k : n, a.Address, Type(a), transposeA ? m : k,
            &beta, y.Address, Type(y), n, CuBlas.Compute32F, CuBlas.DefaultAlgorithm);
        if (status != 0) Check(status, nameof(CuBlas.cublasGemmEx), $"for [{m}, {k}]·[{k}, {n}], {a.DType} to {y.DType}{StandIn.LastReport()}");
        _device.Launches++;
    }

    public void Dispose()
    {
        _device.Release(() => _handle == 0 ? 0 : CuBlas.cublasDestroy_v2(_handle));
        _workspace.Dispose();
    }

    /// <summary>cuBLAS hides which fault of the card it met, so the driver is asked, by a call that a capture allows.</summary>
    private void Check(int status, string function, string detail = "")
    {
        if (status == 0) return;
        if (status == CuBlas.AllocationFailed)
            throw new UserException($"The card {_device.Name} has too little memory left for cuBLAS ({function} failed); choose a smaller batch, model or context.");
        int state = CuDriver.cuMemGetInfo_v2(out _, out _);
        if (CudaException.Ends(state)) throw _device.Lost(Cuda.Failure(state, detail, function));
        Cuda.CheckBlas(status, detail, function);
    }

    private static int Type(Tensor tensor) => tensor.DType switch
    {
        DType.F32 => CuBlas.TypeF32,
        DType.BF16 => CuBlas.TypeBF16,
        _ => throw new ArgumentException($"A matrix product of {tensor} is not defined."),
    };
}
