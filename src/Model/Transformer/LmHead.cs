using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>Hidden states to next-token logits. A tied head's gradient adds to the token table's.</summary>
public sealed class LmHead(Ops ops, Weights weights) : IHead
{
    public int Outputs => weights.Head.Shape.D0;

    public bool ReadsAtToken => false;

    public void Forward(Tensor hidden, Tensor tokens, Tensor outputs) => ops.MatMul(hidden, weights.Head, weights.HeadBias, outputs);

    public void Backward(Tensor dOutputs, Tensor hidden, Tensor tokens, Tensor dHidden, Weights gradients) =>
        ops.MatMulBackward(dOutputs, hidden, weights.Head, dHidden, gradients.Head, gradients.HeadBias);
}
