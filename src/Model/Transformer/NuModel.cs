using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// ν of AlgaeDICE and DualDICE (Nachum et al. 2019): of a text, a plain number for each token that could come next. It starts from a
/// language model's trunk, and at one number everywhere.
/// </summary>
public sealed class NuModel : HeadedModel
{
    /// <param name="vocabulary">Ids that the policy chooses among, the first of its own.</param>
    /// <param name="start">What it says of every token at first.</param>
    public NuModel(LanguageModel reference, int vocabulary, float start = 0)
        : base(reference.Ops, reference.Config, new HeadShape(vocabulary, Bias: true, Tied: false), matrixType: null)
    {
        Head = new NuHead(Ops, Weights);
        Ops.Fill(Weights.Head, 0f);
        Ops.Fill(Weights.HeadBias, start);
        Initializer.CopyShared(reference.Ops, reference.Weights, Weights, "head", "head_bias");
    }

    public override IHead Head { get; }
}

/// <summary>Hidden states to ν of every token.</summary>
public sealed class NuHead(Ops ops, Weights weights) : IHead
{
    public int Outputs => weights.Head.Shape.D0;

    public bool ReadsAtToken => false;

    /// <summary>F32: the differences of its numbers are what counts.</summary>
    public DType TrainingOutputs(DType hidden) => DType.F32;

    public bool KeepsOutputs => false;

    public void Forward(Tensor hidden, Tensor tokens, Tensor outputs) => ops.MatMul(hidden, weights.Head, weights.HeadBias, outputs);

    public void Backward(Tensor dOutputs, Tensor hidden, Tensor tokens, Tensor dHidden, Weights gradients) =>
        ops.MatMulBackward(dOutputs, hidden, weights.Head, dHidden, gradients.Head, gradients.HeadBias);
}
