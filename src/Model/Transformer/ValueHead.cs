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

/// <summary>Hidden states to the logits of the return distribution Z(x, y) (method notes §2.3).</summary>
public sealed class ValueHead(Ops ops, HeadKind kind, ReturnFamily family, Weights weights) : IHead
{
    public int Outputs => family.Atoms;

    public bool ReadsAtToken => kind == HeadKind.V;

    public DType TrainingOutputs(DType hidden) => DType.F32;

    /// <summary>Shape of the head's matrix. The head starts at zero and has a bias: every return equally likely.</summary>
    public static HeadShape ShapeOf(HeadKind kind, ReturnFamily family, TransformerConfig config) =>
        new(kind == HeadKind.V ? family.Atoms : checked(config.Vocab * family.Atoms), Bias: true, Tied: false);

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
