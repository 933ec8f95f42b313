using QSharp.Engine;

namespace QSharp.Model;

/// <summary>What one block keeps from forward for backward. N = B·T.</summary>
public sealed class BlockActivations
{
    internal BlockActivations(TransformerConfig c, int rows, int time, DType type, Arena arena)
    {
        int n = rows * time;
        int statistics = c.Norm == Norm.LayerNorm ? 2 : 1;
        Normed1 = arena.Take((n, c.Width), type);
        Stats1 = arena.Take((n, statistics));
        Qkv = arena.Take((n, c.QkvWidth), type);
        if (c.QkNorm)
        {
            RawQkv = arena.Take((n, c.QkvWidth), type);
            HeadStats = arena.Take((n, c.Heads + c.KvHeads));
        }
        LogSumExp = arena.Take((rows, c.Heads, time));
        Mixed = arena.Take((n, c.Heads * c.HeadDim), type);
        Middle = arena.Take((n, c.Width), type);
        Normed2 = arena.Take((n, c.Width), type);
        Stats2 = arena.Take((n, statistics));
        Up = arena.Take((n, c.UpWidth), type);
        Activated = arena.Take((n, c.Hidden), type);
        Output = arena.Take((n, c.Width), type);
    }

    public Tensor Normed1 { get; }      // [N, C]
    public Tensor Stats1 { get; }       // [N, 2] mean and 1/std, or [N, 1] 1/rms
    public Tensor Qkv { get; }          // [N, (H+2G)·D], rotated
    public Tensor RawQkv { get; }       // [N, (H+2G)·D] before the norms of queries and keys, where there are any
    public Tensor HeadStats { get; }    // [N, H+G] 1/rms of those
    public Tensor LogSumExp { get; }    // [B, H, T]
    public Tensor Mixed { get; }        // [N, H·D]
    public Tensor Middle { get; }       // [N, C] stream after attention
    public Tensor Normed2 { get; }
    public Tensor Stats2 { get; }
    public Tensor Up { get; }           // [N, F or 2F]
    public Tensor Activated { get; }    // [N, F]
    public Tensor Output { get; }       // [N, C] stream after the MLP
}

/// <summary>Memory that every block uses in turn; nothing in it outlives a block.</summary>
public sealed class Scratch
{
    internal Scratch(TransformerConfig c, int n, DType type, Arena arena)
    {
        Branch = arena.Take((n, c.Width), type);
        DStream = arena.Take((n, c.Width), type);
        DWide = arena.Take((n, c.Width), type);
        DMixed = arena.Take((n, c.Heads * c.HeadDim), type);
        DQkv = arena.Take((n, c.QkvWidth), type);
        DUp = arena.Take((n, c.UpWidth), type);
        DActivated = arena.Take((n, c.Hidden), type);
    }

    public Tensor Branch { get; }       // [N, C]
    public Tensor DStream { get; }      // [N, C] gradient of the residual stream
    public Tensor DWide { get; }        // [N, C]
    public Tensor DMixed { get; }
    public Tensor DQkv { get; }
    public Tensor DUp { get; }
    public Tensor DActivated { get; }
}

/// <summary>All activations of a training step for B rows of T tokens.</summary>
public sealed class Activations
{
    /// <param name="type">Of everything but the statistics: <see cref="HeadedModel.ActivationType"/>.</param>
    public Activations(TransformerConfig config, int rows, int time, DType type, Arena arena)
    {
        Rows = rows;
        Time = time;
        int n = rows * time;
        Embedded = arena.Take((n, config.Width), type);
        Blocks = [.. Enumerable.Range(0, config.Layers).Select(_ => new BlockActivations(config, rows, time, type, arena))];
        Hidden = arena.Take((n, config.Width), type);
        FinalStats = arena.Take((n, config.Norm == Norm.LayerNorm ? 2 : 1));
        Scratch = new Scratch(config, n, type, arena);
    }

    public int Rows { get; }

    public int Time { get; }

    public Tensor Embedded { get; }     // [N, C]

    public BlockActivations[] Blocks { get; }

    public Tensor Hidden { get; }       // [N, C] after the final norm

    public Tensor FinalStats { get; }

    public Scratch Scratch { get; }

    /// <summary>Input of block <paramref name="layer"/>, or with the number of layers the input of the final norm.</summary>
    public Tensor Stream(int layer) => layer == 0 ? Embedded : Blocks[layer - 1].Output;
}

/// <summary>The tokens of a training step on the device. All are filled before forward.</summary>
public sealed class TokenBatch
{
    public TokenBatch(int rows, int time, Arena arena)
    {
        Tokens = arena.Take((rows, time), DType.I32);
        Positions = arena.Take((rows, time), DType.I32);
        Spans = arena.Take((rows, 3), DType.I32);
    }

    /// <summary>Memory that other batches are views of.</summary>
    /// <param name="rows">Most rows of a view.</param>
    /// <param name="tokens">Most tokens of a view, padding included.</param>
    public static TokenBatch ForViews(int rows, int tokens, Arena arena) =>
        new(arena.Take((1, tokens), DType.I32), arena.Take((1, tokens), DType.I32), arena.Take((rows, 3), DType.I32));

    private TokenBatch(Tensor tokens, Tensor positions, Tensor spans) => (Tokens, Positions, Spans) = (tokens, positions, spans);

    public Tensor Tokens { get; }       // [B, T]; padding holds any valid id

    public Tensor Positions { get; }    // [B, T]; counted from each row's first token

    public Tensor Spans { get; }        // [B, 3]: first token, end of the bidirectional prompt, end of the row

    /// <summary>The same memory for a batch of no more rows and tokens.</summary>
    public TokenBatch View(int rows, int time)
    {
        return new(Ids(Tokens), Ids(Positions), Spans.Range(0, rows));

        Tensor Ids(Tensor all) => all.As((int)all.Count).Range(0, rows * time).As((rows, time));
    }
}
