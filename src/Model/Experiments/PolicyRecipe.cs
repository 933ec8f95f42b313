using QSharp.Engine;

namespace QSharp.Model;

/// <summary>How a policy is trained from π_ref's weights.</summary>
/// <param name="Batch">Responses of a step; a pair is two.</param>
/// <param name="Beta">Price of a nat of KL to π_ref for policy gradients; 0 as in the paper's star-graph code.</param>
/// <param name="Samples">Of each prompt, for RLOO.</param>
/// <param name="Epochs">Steps on the same samples, for PPO.</param>
/// <param name="PreferenceBeta">β of DPO and RPO.</param>
/// <param name="Alpha">Weight of RPO's likelihood of the right response.</param>
/// <param name="IsNormalized">Whether that likelihood is a mean over tokens.</param>
/// <param name="PlusMinus">Rewards of 1 and −0.1 without a baseline, for REINFORCE.</param>
/// <param name="Divergence">From the data's visits, for AlgaeDICE.</param>
/// <param name="DiceAlpha">α of AlgaeDICE: the price of that divergence.</param>
/// <param name="NuRate">Largest learning rate of AlgaeDICE's ν; 0: ten times the policy's.</param>
public sealed record PolicyRecipe(
    int Steps, float Rate, int Warmup, int Batch, float Beta = 0, int Samples = 4, int Epochs = 4, float PreferenceBeta = 0.1f, float Alpha = 1,
    bool IsNormalized = false, bool PlusMinus = false, Divergence Divergence = Divergence.Kl, float DiceAlpha = 0.1f, float NuRate = 0)
{
    /// <summary>Responses that a method takes together.</summary>
    public int Group(PolicyEntry method) => method.HasGroups ? Samples : method.Data == PolicyData.Pairs ? 2 : 1;

    /// <exception cref="UserException">The method cannot be trained so.</exception>
    public void Require(PolicyEntry method)
    {
        int group = Group(method);
        if (Batch % group != 0) throw new UserException($"--policy-batch {Batch}: {method.Name} takes responses in groups of {group}; give a multiple of it.");
        if (method.Dice is not null && DiceAlpha == 0) throw new UserException($"--dice-alpha 0: {method.Name} divides by it; give a price above 0.");
        if (method.HasGroups && group < 2) throw new UserException($"--policy-samples {group}: {method.Name} compares samples of one prompt; give at least 2.");
    }
}
