using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void AtomTiltCore(Tensor valueLogits, ReturnFamily family, Tilt tilt, float lambda, Tensor weights, Tensor g)
    {
        const int BlockThreads = 128;
        int perRow = CandidatesOfRow(weights, g), perBlock = family.Atoms == 1 ? BlockThreads : BlockThreads / 32;   // a thread or a warp each
        Load("atom_tilt", "atom_tilt").Launch(
            (Blocks(perRow, perBlock), (int)g.Count / perRow), BlockThreads, 0, valueLogits, (int)tilt, family.Atoms, family.Min, family.Max,
            lambda, weights, WeightStride(weights), g, perRow, perBlock);
    }
}
