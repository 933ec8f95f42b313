using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>Sizes of a shared-trunk head.</summary>
/// <param name="Width">C, of π_ref's hidden states.</param>
/// <param name="Hidden">F, of the head's own layer.</param>
public sealed record SharedHeadShape(int Width, int Hidden, int Atoms)
{
    /// <summary>The layer that the method notes measured.</summary>
    public const int UsualHidden = 512;
}

/// <summary>Parameters of a shared-trunk head.</summary>
public sealed class SharedHeadWeights : Parameters
{
    public SharedHeadWeights(SharedHeadShape shape, DType matrixType, Arena arena) : base(matrixType)
    {
        (int c, int f, int atoms) = (shape.Width, shape.Hidden, shape.Atoms);
        Up = TakeMatrix(arena, "up", (f, c));
        Query = TakeMatrix(arena, "query", (atoms * c, f));
        Bias = TakeMatrix(arena, "bias", (atoms, f));
        Norm = TakeVector(arena, "norm", c);
        NormBias = TakeVector(arena, "norm_bias", c);
        UpBias = TakeVector(arena, "up_bias", f);
        BiasBias = TakeVector(arena, "bias_bias", atoms);
    }

    public Tensor Up { get; }           // [F, C]
    public Tensor Query { get; }        // [A·C, F]
    public Tensor Bias { get; }         // [A, F]
    public Tensor Norm { get; }         // [C]
    public Tensor NormBias { get; }     // [C]
    public Tensor UpBias { get; }       // [F]
    public Tensor BiasBias { get; }     // [A]
}

/// <summary>Memory of the head on M hidden states.</summary>
internal sealed class SharedHeadBuffers(SharedHeadShape shape, int rows, DType type, Arena arena)
{
    public Tensor Normed { get; } = arena.Take((rows, shape.Width), type);
    public Tensor Stats { get; } = arena.Take((rows, 2));
    public Tensor Up { get; } = arena.Take((rows, shape.Hidden), type);
    public Tensor Activated { get; } = arena.Take((rows, shape.Hidden), type);
    public Tensor Query { get; } = arena.Take((rows, shape.Atoms * shape.Width), type);
    public Tensor Bias { get; } = arena.Take((rows, shape.Atoms), type);
}

/// <summary>Memory of its backward pass.</summary>
internal sealed class SharedHeadGradients(SharedHeadShape shape, int rows, Arena arena)
{
    public Tensor Query { get; } = arena.Take((rows, shape.Atoms * shape.Width));
    public Tensor Bias { get; } = arena.Take((rows, shape.Atoms));
    public Tensor Activated { get; } = arena.Take((rows, shape.Hidden));
    public Tensor ActivatedByBias { get; } = arena.Take((rows, shape.Hidden));
    public Tensor Up { get; } = arena.Take((rows, shape.Hidden));
    public Tensor Normed { get; } = arena.Take((rows, shape.Width));
    public Tensor Hidden { get; } = arena.Take((rows, shape.Width));
}

/// <summary>
/// The head of a shared-trunk guide (method notes §2.3): z = gelu(W₁·LayerNorm(h)), u = W₂·z, b = W_b·z; the logit of token v
/// and atom a is u_a·e_v + b_a, with e_v the token's row in a frozen table.
/// </summary>
internal sealed class SharedHead(Ops ops, SharedHeadWeights weights)
{
    private const float Epsilon = 1e-5f;

    /// <param name="hidden">[M/K, C].</param>
    /// <param name="table">[V, C].</param>
    /// <param name="tokens">[M] I32.</param>
    /// <param name="outputs">[M, A].</param>
    public void Forward(Tensor hidden, Tensor table, Tensor tokens, SharedHeadBuffers b, Tensor outputs)
    {
        Ask(hidden, b, b.Bias);
        ops.TokenScores(b.Query, b.Bias, table, tokens, outputs);
    }

    /// <summary>The same for every token of a table: one product with it. The bias of a token is apart, as it is that of all.</summary>
    /// <param name="hidden">[R, C].</param>
    /// <param name="table">[V, C].</param>
    /// <param name="outputs">[R·A, V].</param>
    /// <param name="bias">[R, A] F32.</param>
    public void ForwardAll(Tensor hidden, Tensor table, SharedHeadBuffers b, Tensor outputs, Tensor bias)
    {
        Ask(hidden, b, bias);
        ops.MatMul(b.Query.As((outputs.Shape.D0, table.Shape.D1)), table, Tensor.None, outputs);
    }

    private void Ask(Tensor hidden, SharedHeadBuffers b, Tensor bias)
    {
        ops.LayerNorm(hidden, weights.Norm, weights.NormBias, Epsilon, b.Normed, b.Stats);
        ops.MatMul(b.Normed, weights.Up, weights.UpBias, b.Up);
        ops.Gelu(b.Up, b.Activated);
        ops.MatMul(b.Activated, weights.Query, Tensor.None, b.Query);
        ops.MatMul(b.Activated, weights.Bias, weights.BiasBias, bias);
    }

    /// <summary>Adds to the parameters' gradients. The hidden states and the table are frozen.</summary>
    /// <param name="dOutputs">[M, A].</param>
    public void Backward(Tensor dOutputs, Tensor hidden, Tensor table, Tensor tokens, SharedHeadBuffers b, SharedHeadGradients d, SharedHeadWeights gradients)
    {
        ops.TokenScoresBackward(dOutputs, table, tokens, d.Query, d.Bias);
        ops.MatMulBackward(d.Query, b.Activated, weights.Query, d.Activated, gradients.Query, Tensor.None);
        ops.MatMulBackward(d.Bias, b.Activated, weights.Bias, d.ActivatedByBias, gradients.Bias, gradients.BiasBias);
        ops.Add(d.Activated, d.ActivatedByBias, d.Activated);
        ops.GeluBackward(d.Activated, b.Up, d.Up);
        ops.MatMulBackward(d.Up, b.Normed, weights.Up, d.Normed, gradients.Up, gradients.UpBias);
        ops.Fill(d.Hidden, 0f);
        ops.LayerNormBackward(d.Normed, hidden, weights.Norm, b.Stats, d.Hidden, gradients.Norm, gradients.NormBias);
    }
}
