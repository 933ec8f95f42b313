using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void LogSoftmaxCore(Tensor logits, float temperature, Tensor y) =>
        throw new NotSupportedException("LogSoftmax has no CUDA kernel.");
}
