using QSharp.Engine;

namespace QSharp.Kernels;

public sealed partial class CudaOps
{
    private protected override void TokenAtomsCore(Tensor valueLogits, Tensor valueBias, TokenTiles tiles, Tensor tokens, Tensor y)
    {
        const int BlockThreads = 128;
        int count = checked((int)y.Count);
        Load("token_atoms", "token_atoms").Launch(
            Blocks(count, BlockThreads), BlockThreads, 0, valueLogits, valueBias, tokens, y, count, tiles.Atoms, tiles.Count, tiles.Width);
    }
}
