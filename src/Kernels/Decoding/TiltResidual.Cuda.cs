using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void TiltResidualCore(Tensor logReference, Tensor g, Tensor prefixTilt, Tilt tilt, Tensor residual)
    {
        int columns = logReference.Shape.Last;
        Load("tilt_residual", "tilt_residual").Launch(
            logReference.Shape.Rows, RowThreads(columns), 0, logReference, g, prefixTilt, (int)tilt, residual, columns);
    }
}
