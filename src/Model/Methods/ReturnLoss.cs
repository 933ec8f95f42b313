using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

public enum ReturnLossKind
{
    /// <summary>Likelihood of the return: the paper's, and the default.</summary>
    CrossEntropy,

    /// <summary>(σ(ℓ) − R)²: the paper's ablation.</summary>
    SquaredError,

    /// <summary>Cross-entropy with e^(λ(R − max)) in place of R: the one number that decoding at one η needs.</summary>
    Exponential,

    /// <summary>Likelihood, and nearness to what the guide said some steps ago.</summary>
    Regularised,

    /// <summary>Sinkhorn divergence of the distribution from the return.</summary>
    Sinkhorn,
}

/// <summary>How a Q♯ guide's outputs are compared with returns (method notes §2.1, §2.2, §4.8).</summary>
/// <param name="Projection">Of returns that lie between two atoms.</param>
/// <param name="Kappa">κ: weight of nearness.</param>
/// <param name="Lag">Steps after which the copy to stay near is taken anew.</param>
/// <param name="Epsilon">ε: Sinkhorn's price of entropy, in units of the reward.</param>
/// <param name="Power">a of Sinkhorn's cost |z − z′|ᵃ.</param>
public sealed record ReturnLoss(
    ReturnLossKind Kind, Projection Projection = Projection.TwoHot, float Kappa = 0.5f, int Lag = 100, float Epsilon = 1, float Power = 1)
{
    public static ReturnLoss CrossEntropy { get; } = new(ReturnLossKind.CrossEntropy);

    /// <summary>Their names on the command line, and the family that each is of; null: any.</summary>
    public static IReadOnlyList<(string Name, ReturnLossKind Kind, FamilyKind? Family)> Kinds { get; } =
    [
        ("cross-entropy", ReturnLossKind.CrossEntropy, null),
        ("mse", ReturnLossKind.SquaredError, FamilyKind.Bernoulli),
        ("exponential", ReturnLossKind.Exponential, FamilyKind.Bernoulli),
        ("kl-regularised", ReturnLossKind.Regularised, FamilyKind.Categorical),
        ("sinkhorn", ReturnLossKind.Sinkhorn, FamilyKind.Categorical),
    ];

    /// <summary>What <see cref="ReturnLossKind.Exponential"/> learns in place of rewards.</summary>
    /// <param name="eta">η.</param>
    public static Rollout Exponentiate(Rollout rollout, ReturnFamily family, double eta) =>
        rollout with { Reward = (float)Math.Exp((rollout.Reward - family.Max) / eta) };

    /// <summary>The loss at the head; of a regularised one what is left without the copy to stay near.</summary>
    public Method Method(ReturnFamily family) => Kind switch
    {
        ReturnLossKind.SquaredError => new ControlledDecodingMethod(),
        ReturnLossKind.Sinkhorn => new SinkhornMethod(family, Epsilon, Power),
        _ => new QSharpMethod(family, Projection),
    };
}

/// <summary>Distributional learning by an optimal-transport distance (Sun et al. 2024; method notes §4.8).</summary>
public sealed class SinkhornMethod(ReturnFamily family, float epsilon, float power) : Method
{
    public override string Name => "sinkhorn";

    public override void LossAndGradient(Ops ops, LossTargets targets, Tensor outputs, Tensor losses) =>
        ops.SinkhornDivergence(outputs, targets.Returns, targets.Weights, family, epsilon, power, losses, outputs);
}
