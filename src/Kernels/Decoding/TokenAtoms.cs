using QSharp.Engine;

namespace QSharp.Kernels;

public abstract partial class Ops
{
    /// <summary>y[b, a] = the value logit of atom a of a token of each row, its bias added.</summary>
    /// <param name="valueLogits">[B, n, A, W] in tiles, as for <see cref="FullTiltedSample"/>.</param>
    /// <param name="valueBias">[B, A] or None.</param>
    /// <param name="tokens">[B] I32, each in [0, n·W); the CPU twin checks them.</param>
    /// <param name="y">[B, A].</param>
    public void TokenAtoms(Tensor valueLogits, Tensor valueBias, Tensor tokens, Tensor y)
    {
        int rows = (int)tokens.Count;
        Require(tokens, rows, DType.I32);
        if (rows == 0) return;
        int atoms = y.Shape.Last;
        Require(y, rows, atoms);
        TokenTiles tiles = RequireTiles(valueLogits, valueBias, rows, vocabulary: 1, atoms, nameof(TokenAtoms));
        using OpSpan traced = Traced(valueLogits, valueBias, tokens, y);
        TokenAtomsCore(valueLogits, valueBias, tiles, tokens, y);
    }

    private protected abstract void TokenAtomsCore(Tensor valueLogits, Tensor valueBias, TokenTiles tiles, Tensor tokens, Tensor y);
}

public sealed unsafe partial class CpuOps
{
    private protected override void TokenAtomsCore(Tensor valueLogits, Tensor valueBias, TokenTiles tiles, Tensor tokens, Tensor y)
    {
        RequireRows(tokens, checked(tiles.Count * tiles.Width), nameof(TokenAtoms), "token");
        float* bias = valueBias.Floats();
        for (int row = 0; row < (int)tokens.Count; row++)
        {
            float* x = valueLogits.Floats() + row * tiles.RowLength + tiles.At(tokens.Ints()[row]);
            for (int a = 0; a < tiles.Atoms; a++)
                y.Floats()[(long)row * tiles.Atoms + a] = x[(long)a * tiles.Width] + (bias is null ? 0 : bias[(long)row * tiles.Atoms + a]);
        }
    }
}
