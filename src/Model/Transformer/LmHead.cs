using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// Hidden states to next-token logits, of all ids or of as many of the first as are asked for. A tied head's gradient adds
/// to the token table's.
/// </summary>
public sealed class LmHead(Ops ops, Weights weights) : IHead
{
    public int Outputs => weights.Head.Shape.D0;

    public bool ReadsAtToken => false;

    public DType TrainingOutputs(DType hidden) => hidden;

    public bool KeepsOutputs => false;

    public void Forward(Tensor hidden, Tensor tokens, Tensor outputs) =>
        ops.MatMul(hidden, weights.Head.Range(0, outputs.Shape.Last), Tensor.None, outputs);

    public void Backward(Tensor dOutputs, Tensor hidden, Tensor tokens, Tensor dHidden, Weights gradients) =>
        ops.MatMulBackward(
            dOutputs, hidden, weights.Head.Range(0, dOutputs.Shape.Last), dHidden, gradients.Head.Range(0, dOutputs.Shape.Last), Tensor.None);
}
