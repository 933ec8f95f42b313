using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void ScatterCore(Tensor x, Tensor candidates, Tensor values, Tensor others, Tensor y)
    {
        int columns = x.Shape.Last, slots = (int)candidates.Count;
        Load("scatter", "scatter_others").Launch(
            (x.Shape.Rows, Blocks(columns, 4 * Threads)), Threads, 0, x, others, y, columns);
        Load("scatter", "scatter").Launch(
            Blocks(slots, Threads), Threads, 0, x, candidates, values, y, columns, candidates.Shape.Last, slots);
    }
}
