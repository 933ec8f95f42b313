using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void FullTiltCore(
        Tensor valueLogits, Tensor valueBias, TokenTiles tiles, ReturnFamily family, Tilt tilt, float lambda, Tensor weights, Tensor g)
    {
        (Dim3 grid, int threads) = Stretches(g.Shape.Rows, g.Shape.Last, 4);
        Load("full_tilt", "full_tilt").Launch(
            grid, threads, 0, valueLogits, valueBias, (int)tilt, family.Atoms, family.Min, family.Max, lambda, weights,
            WeightStride(weights), g, g.Shape.Last,
            tiles.Count, tiles.Width);
    }
}
