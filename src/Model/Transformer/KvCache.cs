using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// Keys and values of the tokens seen so far, one range of columns a row, behind those of the prompt that the row goes on
/// from. Prompts are a cache of their own, one row each, which any number of rows may share. What changes from step to step,
/// lengths and the prompts of rows, lives on the device: a row takes another prompt by its <see cref="PromptOf"/>, and goes
/// back to where its prompt ends by a length of 0.
/// </summary>
public sealed class KvCache
{
    private readonly Tensor _keys, _values;     // [L, all rows, P, G·D]
    private readonly int _first;

    /// <param name="type">Of keys and values.</param>
    /// <param name="prompts">What rows go on from; null: rows start with nothing.</param>
    public KvCache(TransformerConfig config, int rows, int capacity, DType type, Arena arena, KvCache? prompts = null)
    {
        Rows = rows;
        Capacity = capacity;
        int width = config.KvHeads * config.HeadDim;
        _keys = arena.Take((config.Layers, rows, capacity, width), type);
        _values = arena.Take((config.Layers, rows, capacity, width), type);
        Lengths = arena.Take(rows, DType.I32);
        Prompts = prompts;
        if (prompts is not null) PromptOf = arena.Take(rows, DType.I32);
    }

    private KvCache(KvCache whole, int first, int rows)
    {
        Rows = rows;
        Capacity = whole.Capacity;
        _keys = whole._keys;
        _values = whole._values;
        _first = whole._first + first;
        Lengths = whole.Lengths.Range(first, rows);
        Prompts = whole.Prompts;
        if (Prompts is not null) PromptOf = whole.PromptOf.Range(first, rows);
    }

    public int Rows { get; }

    /// <summary>Columns a row has room for, sibling candidates included, its prompt's not.</summary>
    public int Capacity { get; }

    public Tensor Lengths { get; }      // [R] I32, the prompt's columns not counted

    public KvCache? Prompts { get; }

    public Tensor PromptOf { get; }     // [R] I32, rows of Prompts; None without

    public int Layers => _keys.Shape.D0;

    /// <summary>[R, P, G·D].</summary>
    public Tensor Keys(int layer) => _keys.Slice(layer).Range(_first, Rows);

    /// <summary>[R, P, G·D].</summary>
    public Tensor Values(int layer) => _values.Slice(layer).Range(_first, Rows);

    /// <summary>The prompts' keys and values as attention takes them.</summary>
    public CachedPrompts PromptsAt(int layer) =>
        Prompts is null ? default : new(Prompts.Keys(layer), Prompts.Values(layer), Prompts.Lengths, PromptOf);

    /// <summary>Some neighbouring rows as a cache of their own; it shares the memory.</summary>
    public KvCache Window(int first, int rows) => new(this, first, rows);
}

/// <summary>Memory of one cached pass of S new tokens for each of R rows; N = R·S.</summary>
public sealed class StepBuffers
{
    /// <param name="type">Of everything but the statistics: <see cref="HeadedModel.ActivationType"/>.</param>
    /// <param name="hidden">[N, C]: where the hidden states go; null: memory of their own.</param>
    /// <param name="layerStates">[N, C]: where the stream behind layer <paramref name="stateLayer"/> goes.</param>
    /// <param name="stateLayer">1 is the first; 0: none is kept.</param>
    public StepBuffers(
        TransformerConfig c, int rows, int tokens, DType type, Arena arena, Tensor? hidden = null, Tensor? layerStates = null, int stateLayer = 0)
    {
        Rows = rows;
        TokensPerRow = tokens;
        int n = rows * tokens;
        Tokens = arena.Take((rows, tokens), DType.I32);
        Positions = arena.Take((rows, tokens), DType.I32);
        Hidden = hidden ?? arena.Take((n, c.Width), type);
        StateLayer = stateLayer;
        if (stateLayer > 0) LayerStates = layerStates ?? arena.Take((n, c.Width), type);
        Stream = arena.Take((n, c.Width), type);
        Normed = arena.Take((n, c.Width), type);
        Stats = arena.Take((n, c.Norm == Norm.LayerNorm ? 2 : 1));
        Qkv = arena.Take((n, c.QkvWidth), type);
        if (c.QkNorm) HeadStats = arena.Take((n, c.Heads + c.KvHeads));
        Mixed = arena.Take((n, c.Heads * c.HeadDim), type);
        Branch = arena.Take((n, c.Width), type);
        Up = arena.Take((n, c.UpWidth), type);
        Activated = arena.Take((n, c.Hidden), type);
    }

    private StepBuffers(StepBuffers whole, int rows, int tokens)
    {
        Rows = rows;
        TokensPerRow = tokens;
        int n = rows * tokens;
        Tokens = Ids(whole.Tokens);
        Positions = Ids(whole.Positions);
        Hidden = whole.Hidden.Range(0, n);
        StateLayer = whole.StateLayer;
        if (StateLayer > 0) LayerStates = whole.LayerStates.Range(0, n);
        Stream = whole.Stream.Range(0, n);
        Normed = whole.Normed.Range(0, n);
        Stats = whole.Stats.Range(0, n);
        Qkv = whole.Qkv.Range(0, n);
        if (!whole.HeadStats.IsNone) HeadStats = whole.HeadStats.Range(0, n);
        Mixed = whole.Mixed.Range(0, n);
        Branch = whole.Branch.Range(0, n);
        Up = whole.Up.Range(0, n);
        Activated = whole.Activated.Range(0, n);

        Tensor Ids(Tensor all) => all.As((int)all.Count).Range(0, n).As((rows, tokens));
    }

    public int Rows { get; }

    public int TokensPerRow { get; }

    public Tensor Tokens { get; }       // [R, S] I32, filled by the caller

    public Tensor Positions { get; }    // [R, S] I32

    public Tensor Hidden { get; }       // [N, C] the result, after the final norm

    /// <summary>Layer whose output is kept too, 1 the first; 0: none.</summary>
    public int StateLayer { get; }

    public Tensor LayerStates { get; }  // [N, C] the stream behind that layer, or None

    public Tensor Stream { get; }
    public Tensor Normed { get; }
    public Tensor Stats { get; }
    public Tensor Qkv { get; }
    public Tensor HeadStats { get; }
    public Tensor Mixed { get; }
    public Tensor Branch { get; }
    public Tensor Up { get; }
    public Tensor Activated { get; }

    /// <summary>The same memory for another pass of no more than N tokens.</summary>
    public StepBuffers View(int rows, int tokens) => new(this, rows, tokens);
}
