using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private const int SelectThreads = 1024;   // what select.cuh is written for

    private protected override void TopPCore(Tensor scores, float temperature, float topP, Tensor y, Tensor logMass) =>
        Load("top_p", "top_p").Launch(
            scores.Shape.Rows, SelectThreads, 0, scores, 1 / temperature, topP, y, logMass, scores.Shape.Last);
}
