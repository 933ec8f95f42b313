using QSharp.Engine;

namespace QSharp.Kernels;

/// <summary>
/// How the value logits of all tokens of a row lie: [n, A, W], tiles of W tokens, within a tile one atom after another. So
/// neighbouring lanes are neighbouring tokens, whose atoms are summed without a shuffle, and a warp reads a tile of one atom at once.
/// </summary>
/// <param name="Count">n; n·W is at least V, and what lies past V counts for nothing.</param>
/// <param name="Atoms">A.</param>
/// <param name="Width">
/// W: a multiple of <see cref="Tokens"/>, which is what a head whose rows are put in this order gives; any number where there is
/// one tile, which is what a product with a table of tokens gives.
/// </param>
public readonly record struct TokenTiles(int Count, int Atoms, int Width)
{
    /// <summary>Tokens of a tile, where they are cut.</summary>
    public const int Tokens = 128;

    public long RowLength => (long)Count * Atoms * Width;

    /// <summary>Where a token's first atom lies in its row; the others follow W apart.</summary>
    public long At(int token) => (long)(token / Width) * Atoms * Width + token % Width;

    /// <summary>Tiles that hold a vocabulary.</summary>
    public static int CountOf(int vocabulary) => (vocabulary + Tokens - 1) / Tokens;
}

public abstract partial class Ops
{
    /// <summary>Checks value logits of all tokens, [B, n, A, W], and their bias, [B, A] or None.</summary>
    private protected TokenTiles RequireTiles(Tensor valueLogits, Tensor valueBias, int rows, int vocabulary, int atoms, string op)
    {
        Shape s = valueLogits.Shape;
        Require(s.Rank == 4 && s.D0 == rows && s.D2 == atoms, $"the value logits are {valueLogits}, but must be [{rows}, n, {atoms}, W].", op);
        TokenTiles tiles = new(s.D1, atoms, s.D3);
        Require(
            (long)tiles.Count * tiles.Width >= vocabulary && (tiles.Count == 1 || tiles.Width % TokenTiles.Tokens == 0),
            $"tiles of {tiles.Width} tokens, {tiles.Count} of them, do not hold {vocabulary}.", op);
        Require(valueLogits, checked((int)valueLogits.Count), op: op);
        if (!valueBias.IsNone) Require(valueBias, rows, atoms, op: op);
        return tiles;
    }
}
