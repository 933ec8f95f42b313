using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void AtomTiltCore(Tensor valueLogits, ReturnFamily family, Tilt tilt, float lambda, Tensor g) =>
        throw new NotSupportedException("AtomTilt has no CUDA kernel.");
}
