using QSharp.Engine;

namespace QSharp.Model;

/// <summary>What turns rows of hidden states into the numbers that a loss or a decoder needs.</summary>
public interface IHead
{
    /// <summary>Columns of the head's output.</summary>
    int Outputs { get; }

    /// <summary>Whether the hidden state of the judged token itself is read, rather than that of the token before it.</summary>
    bool ReadsAtToken { get; }

    /// <summary>Type of the outputs that training computes, given that of the hidden states: logits of a whole vocabulary are as large as activations.</summary>
    DType TrainingOutputs(DType hidden);

    /// <summary>
    /// Whether training keeps the outputs of a batch until the next one. A head over the vocabulary does not: its logits are made,
    /// turned into loss and gradient, and dropped, some rows at a time.
    /// </summary>
    bool KeepsOutputs { get; }

    /// <param name="hidden">[M, C].</param>
    /// <param name="tokens">[M] I32, the tokens judged or predicted.</param>
    /// <param name="outputs">[M, Outputs].</param>
    void Forward(Tensor hidden, Tensor tokens, Tensor outputs);

    /// <summary>Writes dHidden [M, C] and adds to the gradient of the head's parameters.</summary>
    void Backward(Tensor dOutputs, Tensor hidden, Tensor tokens, Tensor dHidden, Weights gradients);
}
