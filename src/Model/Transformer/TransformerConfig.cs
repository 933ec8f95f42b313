using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

public enum Norm
{
    LayerNorm,
    RmsNorm,
}

public enum Mlp
{
    /// <summary>One matrix up, GELU (tanh), one matrix down.</summary>
    Gelu,

    /// <summary>Gate and up in one matrix, silu(gate)·up, one matrix down.</summary>
    SwiGlu,
}

public enum Position
{
    /// <summary>A learned vector for each position, added to the token's.</summary>
    Learned,

    /// <summary>Rotation of queries and keys (Su et al. 2021).</summary>
    Rope,
}

/// <summary>
/// The numbers and switches that tell one decoder-only transformer from another. A family of models is a set of values
/// here, never a subclass.
/// </summary>
public sealed record TransformerConfig
{
    // Far more than any model has; a mistyped number must not ask for all memory.
    private const int MostLayers = 10_000;

    public required int Layers { get; init; }

    /// <summary>C: length of a hidden state.</summary>
    public required int Width { get; init; }

    /// <summary>H: query heads.</summary>
    public required int Heads { get; init; }

    /// <summary>G: key and value heads; H is a multiple of it.</summary>
    public required int KvHeads { get; init; }

    /// <summary>D: length of one head.</summary>
    public required int HeadDim { get; init; }

    /// <summary>F: width between the two matrices of the MLP.</summary>
    public required int Hidden { get; init; }

    /// <summary>V: rows of the token table.</summary>
    public required int Vocab { get; init; }

    /// <summary>The most tokens a sequence may have.</summary>
    public required int Context { get; init; }

    public Norm Norm { get; init; }

    public float NormEpsilon { get; init; } = 1e-5f;

    public Mlp Mlp { get; init; }

    public Position Position { get; init; }

    public float RopeTheta { get; init; } = 10000;

    public RopeScaling? RopeScaling { get; init; }

    /// <summary>Biases of the query, key and value product.</summary>
    public bool QkvBias { get; init; }

    /// <summary>Biases of the other products; and, with LayerNorm, of the norms.</summary>
    public bool OtherBias { get; init; }

    /// <summary>Whether each head's query and key are RMS-normalised before they are rotated (Qwen3).</summary>
    public bool QkNorm { get; init; }

    /// <summary>Whether the language-model head is the token table.</summary>
    public bool TiedHead { get; init; }

    /// <summary>Width of the packed queries, keys and values: (H + 2G)·D.</summary>
    public int QkvWidth => (Heads + 2 * KvHeads) * HeadDim;

    /// <summary>Width of the MLP's first product: F, or 2F where it holds gate and up.</summary>
    public int UpWidth => Mlp == Mlp.SwiGlu ? 2 * Hidden : Hidden;

    /// <summary>A GPT-2 model: LayerNorm, GELU, learned positions, biases everywhere.</summary>
    public static TransformerConfig Gpt2(int layers, int width, int heads, int vocab, int context, bool tiedHead = true) => new()
    {
        Layers = layers,
        Width = width,
        Heads = heads,
        KvHeads = heads,
        HeadDim = heads > 0 ? width / heads : 0,
        Hidden = 4 * width,
        Vocab = vocab,
        Context = context,
        Norm = Norm.LayerNorm,
        Mlp = Mlp.Gelu,
        Position = Position.Learned,
        QkvBias = true,
        OtherBias = true,
        TiedHead = tiedHead,
    };

    /// <summary>Returns this, or throws one sentence that names the first figure that cannot be.</summary>
    /// <param name="source">Where the figures come from, for the message.</param>
    /// <exception cref="UserException">A size is not positive or two sizes do not fit.</exception>
    public TransformerConfig Validated(string source)
    {
        (string Name, int Value)[] sizes =
        [
            ("layers", Layers), ("width", Width), ("heads", Heads), ("kv heads", KvHeads), ("head size", HeadDim),
            ("hidden", Hidden), ("vocabulary", Vocab), ("context", Context),
        ];
        foreach ((string name, int value) in sizes)
            if (value <= 0) throw new UserException($"{source}: {name} is {value}; it must be at least 1.");
        if (Layers > MostLayers) throw new UserException($"{source}: layers is {Layers}; it must be at most {MostLayers}.");
        if (!(NormEpsilon > 0 && float.IsFinite(NormEpsilon))) throw new UserException($"{source}: the norms' epsilon is {NormEpsilon}; it must be above 0.");
        if (Heads % KvHeads != 0)
            throw new UserException($"{source}: there are {Heads} heads and {KvHeads} key-value heads; the first must be a multiple of the second.");
        if (Position == Position.Rope && HeadDim % 2 != 0)
            throw new UserException($"{source}: the head size is {HeadDim}; rotary positions need an even one.");
        return this;
    }
}
