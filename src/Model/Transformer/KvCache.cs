using QSharp.Engine;

namespace QSharp.Model;

/// <summary>Keys and values of the tokens seen so far, one range of columns a row. Lengths live on the device.</summary>
public sealed class KvCache
{
    public KvCache(TransformerConfig config, int rows, int capacity, Arena arena)
    {
        Rows = rows;
        Capacity = capacity;
        int width = config.KvHeads * config.HeadDim;
        Keys = arena.Take((config.Layers, rows, capacity, width));
        Values = arena.Take((config.Layers, rows, capacity, width));
        Lengths = arena.Take(rows, DType.I32);
    }

    public int Rows { get; }

    /// <summary>Columns a row has room for, sibling candidates included.</summary>
    public int Capacity { get; }

    public Tensor Keys { get; }         // [L, R, P, G·D]

    public Tensor Values { get; }       // [L, R, P, G·D]

    public Tensor Lengths { get; }      // [R] I32
}

/// <summary>Memory of one cached pass of S new tokens for each of R rows; N = R·S.</summary>
public sealed class StepBuffers
{
    public StepBuffers(TransformerConfig c, int rows, int tokens, Arena arena)
    {
        Rows = rows;
        TokensPerRow = tokens;
        int n = rows * tokens;
        Tokens = arena.Take((rows, tokens), DType.I32);
        Positions = arena.Take((rows, tokens), DType.I32);
        Hidden = arena.Take((n, c.Width));
        Stream = arena.Take((n, c.Width));
        Normed = arena.Take((n, c.Width));
        Stats = arena.Take((n, c.Norm == Norm.LayerNorm ? 2 : 1));
        Qkv = arena.Take((n, c.QkvWidth));
        Mixed = arena.Take((n, c.Heads * c.HeadDim));
        Branch = arena.Take((n, c.Width));
        Up = arena.Take((n, c.UpWidth));
        Activated = arena.Take((n, c.Hidden));
    }

    public int Rows { get; }

    public int TokensPerRow { get; }

    public Tensor Tokens { get; }       // [R, S] I32, filled by the caller

    public Tensor Positions { get; }    // [R, S] I32

    public Tensor Hidden { get; }       // [N, C] the result, after the final norm

    public Tensor Stream { get; }
    public Tensor Normed { get; }
    public Tensor Stats { get; }
    public Tensor Qkv { get; }
    public Tensor Mixed { get; }
    public Tensor Branch { get; }
    public Tensor Up { get; }
    public Tensor Activated { get; }
}
