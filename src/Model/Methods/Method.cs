using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>A way to learn: the loss at the head and its gradient. What else a run does is the trainer's, once for all methods.</summary>
public abstract class Method
{
    /// <summary>Name on the command line.</summary>
    public abstract string Name { get; }

    /// <summary>Writes each position's weighted loss, and the gradient over the head's outputs.</summary>
    /// <param name="outputs">[M, Outputs]: the head's outputs on entry, their gradient on return.</param>
    /// <param name="losses">[M].</param>
    public abstract void LossAndGradient(Ops ops, LossTargets targets, Tensor outputs, Tensor losses);

    /// <summary>The mean loss of the one output that is best where it is given for all positions: what a guide has to beat. Null where there is no simple formula.</summary>
    /// <param name="labels">Whose returns and weights count.</param>
    public virtual double? ConstantLoss(IReadOnlyList<Prediction> labels) => null;
}

/// <summary>Next-token cross-entropy: makes a reference.</summary>
public sealed class PretrainMethod : Method
{
    public override string Name => "pretrain";

    public override void LossAndGradient(Ops ops, LossTargets targets, Tensor outputs, Tensor losses) =>
        ops.TokenCrossEntropy(outputs, targets.Tokens, targets.Weights, losses, outputs);
}

/// <summary>
/// Q♯ (Zhou et al. 2025, Algorithm 1): the distribution of the reward-to-go under π_ref by cross-entropy on its samples.
/// </summary>
public sealed class QSharpMethod(ReturnFamily family, Projection projection = Projection.TwoHot) : Method
{
    public override string Name => "qsharp";

    public override void LossAndGradient(Ops ops, LossTargets targets, Tensor outputs, Tensor losses) =>
        ops.ReturnCrossEntropy(outputs, targets.Returns, targets.Weights, family, projection, losses, outputs);

    /// <inheritdoc/>
    /// <returns>The entropy of the mean label.</returns>
    public override double? ConstantLoss(IReadOnlyList<Prediction> labels)
    {
        double total = labels.Sum(label => (double)label.Weight);
        double[] mean = new double[family.Returns];
        foreach (Prediction label in labels) family.AddLabel(label.Return, projection, label.Weight / total, mean);
        return mean.Sum(chance => chance is > 0 and < 1 ? -chance * Math.Log(chance) : 0);   // the sum of a certain one's shares may round to above 1
    }
}

/// <summary>
/// Controlled decoding (Mudgal et al. 2024), the squared-error form: σ(ℓ) is regressed on the return, so that the mean
/// E[Z] alone is learned; decoded with λ·E[Z].
/// </summary>
public sealed class ControlledDecodingMethod : Method
{
    public override string Name => "cd";

    public override void LossAndGradient(Ops ops, LossTargets targets, Tensor outputs, Tensor losses) =>
        ops.SquaredError(outputs, targets.Returns, targets.Weights, Link.Sigmoid, losses, outputs);

    /// <inheritdoc/>
    /// <returns>The variance of the returns, whose mean is a chance.</returns>
    public override double? ConstantLoss(IReadOnlyList<Prediction> labels)
    {
        double total = labels.Sum(label => (double)label.Weight), mean = labels.Sum(label => label.Weight * (double)label.Return) / total;
        return labels.Sum(label => label.Weight * (label.Return - mean) * (label.Return - mean)) / total;
    }
}
