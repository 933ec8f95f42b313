using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void EmbeddingCore(
        Tensor tokens, Tensor table, Tensor positions, Tensor positionTable, Tensor y) =>
        throw new NotSupportedException("Embedding has no CUDA kernel.");

    private protected override void EmbeddingBackwardCore(
        Tensor dy, Tensor tokens, Tensor positions, Tensor dTable, Tensor dPositionTable) =>
        throw new NotSupportedException("EmbeddingBackward has no CUDA kernel.");
}
