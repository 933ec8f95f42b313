using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

public enum HeadKind
{
    /// <summary>The hidden state at the candidate token gives Z: the paper's V-type, the default.</summary>
    V,

    /// <summary>The hidden state before the token gives Z of every token: row (token · A + atom) of the head's matrix.</summary>
    Q,
}

/// <summary>Where a value head starts from.</summary>
public enum HeadInit
{
    /// <summary>0, with a bias: every return equally likely, so no tilt before the first step.</summary>
    Zero,

    /// <summary>N(0, 0.02), without a bias: the paper's V-type head.</summary>
    Random,

    /// <summary>Each token's row of the language model's head, once for each atom, without a bias: the official code's Q-type head.</summary>
    Reuse,
}

/// <summary>Hidden states to the logits of the return distribution Z(x, y) (method notes §2.3).</summary>
public sealed class ValueHead(Ops ops, HeadKind kind, ReturnFamily family, Weights weights) : IHead
{
    public int Outputs => family.Atoms;

    public bool ReadsAtToken => kind == HeadKind.V;

    public DType TrainingOutputs(DType hidden) => DType.F32;

    public bool KeepsOutputs => true;

    public static HeadShape ShapeOf(ValueSettings settings, TransformerConfig config) =>
        new(settings.Kind == HeadKind.V ? settings.Family.Atoms : checked(config.Vocab * settings.Family.Atoms), settings.HasBias, Tied: false);

    /// <summary>V reads one hidden state a token; Q may read one for several candidate tokens: hidden is then [M/K, C].</summary>
    public void Forward(Tensor hidden, Tensor tokens, Tensor outputs)
    {
        if (kind == HeadKind.V) ops.MatMul(hidden, weights.Head, weights.HeadBias, outputs);
        else ops.GatheredMatMul(hidden, weights.Head, weights.HeadBias, tokens, outputs);
    }

    public void Backward(Tensor dOutputs, Tensor hidden, Tensor tokens, Tensor dHidden, Weights gradients)
    {
        if (kind == HeadKind.V) ops.MatMulBackward(dOutputs, hidden, weights.Head, dHidden, gradients.Head, gradients.HeadBias);
        else ops.GatheredMatMulBackward(dOutputs, hidden, weights.Head, tokens, dHidden, gradients.Head, gradients.HeadBias);
    }
}
