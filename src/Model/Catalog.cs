using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// Tasks and methods by their names on the command line, listed by hand so that nothing is found by reflection and the
/// program can be trimmed. A new one is a file and a line here.
/// </summary>
public static class Catalog
{
    /// <summary>Names of the tasks.</summary>
    public static IReadOnlyList<string> Tasks { get; } = ["star-graph"];

    /// <summary>Methods that train a guide from roll-outs, with how each decodes.</summary>
    public static IReadOnlyList<ValueMethod> ValueMethods { get; } =
    [
        new("qsharp", "Q♯: distribution of the reward-to-go, ln E[exp(Z/η)]", Tilt.LogMeanExp, family => new QSharpMethod(family)),
        new("cd", "controlled decoding: mean of the reward-to-go, E[Z]/η", Tilt.Mean, _ => new ControlledDecodingMethod()),
    ];

    /// <summary>Methods that train a policy from π_ref.</summary>
    public static IReadOnlyList<PolicyEntry> PolicyMethods { get; } =
    [
        new("reinforce", "policy gradient, the batch's mean reward as baseline", PolicyData.Policy,
            recipe => new ReinforceMethod(recipe.PlusMinus ? Baseline.PlusMinus : Baseline.BatchMean, 1, recipe.Beta)),
        new("reinforce-greedy", "the same on greedy responses, as in the paper's code", PolicyData.Policy,
            recipe => new ReinforceMethod(recipe.PlusMinus ? Baseline.PlusMinus : Baseline.BatchMean, 1, recipe.Beta)) { IsGreedy = true },
        new("rloo", "policy gradient, the other samples of the prompt as baseline", PolicyData.Policy,
            recipe => new ReinforceMethod(Baseline.LeaveOneOut, recipe.Samples, recipe.Beta)) { HasGroups = true },
        new("ppo", "clipped policy gradient with a critic", PolicyData.Policy, recipe => new PpoMethod(recipe.Beta)) { Repeats = true },
        new("dpo", "preference of right over wrong responses", PolicyData.Pairs, recipe => new PreferenceMethod(recipe.PreferenceBeta, 0, false)),
        new("rpo", "dpo and the likelihood of right responses", PolicyData.Pairs,
            recipe => new PreferenceMethod(recipe.PreferenceBeta, recipe.Alpha, recipe.IsNormalized)),
        new("sft", "next-token training on right samples of π_ref", PolicyData.Successes, _ => null),
    ];

    /// <summary>The method of a name, or null.</summary>
    public static PolicyEntry? FindPolicyMethod(string name) => PolicyMethods.FirstOrDefault(method => method.Name == name);

    /// <summary>The method of a name, or null.</summary>
    public static ValueMethod? FindValueMethod(string name) => ValueMethods.FirstOrDefault(method => method.Name == name);
}

/// <param name="Create">Makes the method for a family of return distributions.</param>
public sealed record ValueMethod(string Name, string Description, Tilt Tilt, Func<ReturnFamily, Method> Create);

/// <summary>What a policy learns from.</summary>
public enum PolicyData
{
    /// <summary>Its own responses to new prompts.</summary>
    Policy,

    /// <summary>Pairs of a right response and a wrong one that π_ref gave.</summary>
    Pairs,

    /// <summary>Right responses that π_ref gave.</summary>
    Successes,
}

/// <param name="Create">Makes the method; null where rows are learned as they are, by plain cross-entropy.</param>
public sealed record PolicyEntry(string Name, string Description, PolicyData Data, Func<PolicyRecipe, PolicyMethod?> Create)
{
    /// <summary>Responses are the policy's likeliest, not drawn.</summary>
    public bool IsGreedy { get; init; }

    /// <summary>Each prompt has several samples.</summary>
    public bool HasGroups { get; init; }

    /// <summary>Several steps learn from the same samples.</summary>
    public bool Repeats { get; init; }
}
