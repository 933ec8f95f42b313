using QSharp.Engine;

namespace QSharp.Model;

/// <summary>Rows of the head's matrix [Rows, C]; 0 rows is a trunk without a head.</summary>
/// <param name="Tied">The matrix is the token table itself.</param>
public readonly record struct HeadShape(int Rows, bool Bias, bool Tied)
{
    /// <summary>The language-model head of a config.</summary>
    public static HeadShape Language(TransformerConfig config) => new(config.Vocab, Bias: false, config.TiedHead);
}

/// <summary>Parameters of one block. An absent one is <see cref="Tensor.None"/>.</summary>
public sealed class BlockWeights
{
    public Tensor Norm1 { get; internal set; }      // [C]
    public Tensor Norm1Bias { get; internal set; }  // [C]
    public Tensor Qkv { get; internal set; }        // [(H+2G)·D, C]
    public Tensor QkvBias { get; internal set; }
    public Tensor QueryNorm { get; internal set; }  // [D]
    public Tensor KeyNorm { get; internal set; }    // [D]
    public Tensor Out { get; internal set; }        // [C, H·D]
    public Tensor OutBias { get; internal set; }
    public Tensor Norm2 { get; internal set; }
    public Tensor Norm2Bias { get; internal set; }
    public Tensor Up { get; internal set; }         // [F or 2F, C]
    public Tensor UpBias { get; internal set; }
    public Tensor Down { get; internal set; }       // [C, F]
    public Tensor DownBias { get; internal set; }
}

/// <summary>
/// All parameters of a transformer and its head, in one block of memory: matrices first, then vectors, so that one
/// launch updates each group. Gradients and the optimizer's moments have the same type and so the same layout.
/// </summary>
public sealed class Weights
{
    private readonly List<(string Name, Tensor Value, bool Decays)> _named = [];
    private readonly long _matrixBytes, _vectorBytes;

    /// <summary>Carves the parameters out of an arena that holds nothing else.</summary>
    /// <param name="matrixType">F32; or BF16 for a model that is only read. Vectors are F32.</param>
    public Weights(TransformerConfig config, HeadShape head, DType matrixType, Arena arena)
    {
        int c = config.Width;
        MatrixType = matrixType;
        Blocks = [.. Enumerable.Range(0, config.Layers).Select(_ => new BlockWeights())];

        Tokens = Take("tokens", (config.Vocab, c), decays: true);
        if (config.Position == Position.Learned) Positions = Take("positions", (config.Context, c), decays: true);
        for (int layer = 0; layer < config.Layers; layer++)
        {
            BlockWeights block = Blocks[layer];
            block.Qkv = Take($"blocks.{layer}.qkv", (config.QkvWidth, c), decays: true);
            block.Out = Take($"blocks.{layer}.out", (c, config.Heads * config.HeadDim), decays: true);
            block.Up = Take($"blocks.{layer}.up", (config.UpWidth, c), decays: true);
            block.Down = Take($"blocks.{layer}.down", (c, config.Hidden), decays: true);
        }
        if (head.Tied) Head = Tokens;
        else if (head.Rows > 0) Head = Take("head", (head.Rows, c), decays: true);
        _matrixBytes = arena.Used;

        bool normBias = config.Norm == Norm.LayerNorm;
        for (int layer = 0; layer < config.Layers; layer++)
        {
            BlockWeights block = Blocks[layer];
            block.Norm1 = Take($"blocks.{layer}.norm1", c);
            if (normBias) block.Norm1Bias = Take($"blocks.{layer}.norm1_bias", c);
            if (config.QkNorm)
            {
                block.QueryNorm = Take($"blocks.{layer}.query_norm", config.HeadDim);
                block.KeyNorm = Take($"blocks.{layer}.key_norm", config.HeadDim);
            }
            if (config.QkvBias) block.QkvBias = Take($"blocks.{layer}.qkv_bias", config.QkvWidth);
            if (config.OtherBias) block.OutBias = Take($"blocks.{layer}.out_bias", c);
            block.Norm2 = Take($"blocks.{layer}.norm2", c);
            if (normBias) block.Norm2Bias = Take($"blocks.{layer}.norm2_bias", c);
            if (config.OtherBias) block.UpBias = Take($"blocks.{layer}.up_bias", config.UpWidth);
            if (config.OtherBias) block.DownBias = Take($"blocks.{layer}.down_bias", c);
        }
        FinalNorm = Take("final_norm", c);
        if (normBias) FinalNormBias = Take("final_norm_bias", c);
        if (head is { Rows: > 0, Bias: true }) HeadBias = Take("head_bias", head.Rows);

        _vectorBytes = arena.Used - _matrixBytes;

        Tensor Take(string name, Shape shape, bool decays = false)
        {
            Tensor tensor = arena.Take(shape, decays ? matrixType : DType.F32);
            _named.Add((name, tensor, decays));
            return tensor;
        }
    }

    /// <summary>Element type of the matrices.</summary>
    public DType MatrixType { get; }

    public Tensor Tokens { get; }                   // [V, C]

    public Tensor Positions { get; }                // [context, C], learned positions only

    public BlockWeights[] Blocks { get; }

    public Tensor FinalNorm { get; }

    public Tensor FinalNormBias { get; }

    /// <summary>[rows, C]; the token table where the head is tied; None where there is no head.</summary>
    public Tensor Head { get; }

    public Tensor HeadBias { get; }

    /// <summary>Every matrix as one flat tensor (weight decay applies), zeros between them included.</summary>
    /// <exception cref="OverflowException">There are more than 2³¹ entries: such a model can be read but not trained.</exception>
    public Tensor Matrices => new(Tokens.Buffer, 0, MatrixType, checked((int)(_matrixBytes / MatrixType.Size())));

    /// <summary>Every vector as one flat tensor (no weight decay).</summary>
    public Tensor Vectors => new(Tokens.Buffer, _matrixBytes, DType.F32, checked((int)(_vectorBytes / sizeof(float))));

    /// <summary>All parameters of an F32 model as one flat tensor.</summary>
    public Tensor All => Matrices with { Shape = checked((int)(Matrices.Count + Vectors.Count)) };

    /// <summary>The one list of parameters for files, initial values and tests; a tied head appears once, as the token table.</summary>
    public IReadOnlyList<(string Name, Tensor Value, bool Decays)> Named => _named;

    /// <summary>Number of parameters.</summary>
    public long Count => _named.Sum(parameter => parameter.Value.Count);
}
