using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void SampleRowCore(Tensor scores, Tensor streams, Tensor positions, ulong key, Tensor next) =>
        Load("sample_row", "sample_row").Launch(
            scores.Shape.Rows, RowThreads(scores.Shape.Last), 0, scores, streams, positions, key, next, scores.Shape.Last);
}
