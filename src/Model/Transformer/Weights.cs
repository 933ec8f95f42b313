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

/// <summary>All parameters of a transformer and its head; a tied head appears once, as the token table.</summary>
public sealed class Weights : Parameters
{
    /// <summary>Carves the parameters out of an arena that holds nothing else.</summary>
    /// <param name="matrixType">F32; or BF16 for a model that is only read. Vectors are F32.</param>
    public Weights(TransformerConfig config, HeadShape head, DType matrixType, Arena arena) : base(matrixType)
    {
        int c = config.Width;
        Blocks = [.. Enumerable.Range(0, config.Layers).Select(_ => new BlockWeights())];

        Tokens = Matrix("tokens", (config.Vocab, c));
        if (config.Position == Position.Learned) Positions = Matrix("positions", (config.Context, c));
        for (int layer = 0; layer < config.Layers; layer++)
        {
            BlockWeights block = Blocks[layer];
            block.Qkv = Matrix($"blocks.{layer}.qkv", (config.QkvWidth, c));
            block.Out = Matrix($"blocks.{layer}.out", (c, config.Heads * config.HeadDim));
            block.Up = Matrix($"blocks.{layer}.up", (config.UpWidth, c));
            block.Down = Matrix($"blocks.{layer}.down", (c, config.Hidden));
        }
        if (head.Tied) Head = Tokens;
        else if (head.Rows > 0) Head = Matrix("head", (head.Rows, c));

        bool normBias = config.Norm == Norm.LayerNorm;
        for (int layer = 0; layer < config.Layers; layer++)
        {
            BlockWeights block = Blocks[layer];
            block.Norm1 = Vector($"blocks.{layer}.norm1", c);
            if (normBias) block.Norm1Bias = Vector($"blocks.{layer}.norm1_bias", c);
            if (config.QkNorm)
            {
                block.QueryNorm = Vector($"blocks.{layer}.query_norm", config.HeadDim);
                block.KeyNorm = Vector($"blocks.{layer}.key_norm", config.HeadDim);
            }
            if (config.QkvBias) block.QkvBias = Vector($"blocks.{layer}.qkv_bias", config.QkvWidth);
            if (config.OtherBias) block.OutBias = Vector($"blocks.{layer}.out_bias", c);
            block.Norm2 = Vector($"blocks.{layer}.norm2", c);
            if (normBias) block.Norm2Bias = Vector($"blocks.{layer}.norm2_bias", c);
            if (config.OtherBias) block.UpBias = Vector($"blocks.{layer}.up_bias", config.UpWidth);
            if (config.OtherBias) block.DownBias = Vector($"blocks.{layer}.down_bias", c);
        }
        FinalNorm = Vector("final_norm", c);
        if (normBias) FinalNormBias = Vector("final_norm_bias", c);
        if (head is { Rows: > 0, Bias: true }) HeadBias = Vector("head_bias", head.Rows);

        Tensor Matrix(string name, Shape shape) => TakeMatrix(arena, name, shape);

        Tensor Vector(string name, int length) => TakeVector(arena, name, length);
    }

    public Tensor Tokens { get; }                   // [V, C]

    public Tensor Positions { get; }                // [context, C], learned positions only

    public BlockWeights[] Blocks { get; }

    public Tensor FinalNorm { get; }

    public Tensor FinalNormBias { get; }

    /// <summary>[rows, C]; the token table where the head is tied; None where there is no head.</summary>
    public Tensor Head { get; }

    public Tensor HeadBias { get; }
}
