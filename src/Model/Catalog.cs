using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// Tasks and methods by their names on the command line, listed by hand so that nothing is found by reflection and the
/// program can be trimmed. A new one is a file and a line here.
/// </summary>
public static class Catalog
{
    /// <summary>The task whose problems are made and not read.</summary>
    public const string StarGraph = "star-graph";

    /// <summary>Tasks with a known layout of their files; any other text task is a file of prompts and rules.</summary>
    public static IReadOnlyList<string> TextTasks { get; } = ["gsm8k", "math", "quality"];

    /// <summary>Methods that train a guide from roll-outs, with how each decodes.</summary>
    public static IReadOnlyList<ValueMethod> ValueMethods { get; } =
    [
        new("qsharp", "Q♯: distribution of the reward-to-go, ln E[exp(Z/η)]", Tilt.LogMeanExp, recipe => recipe.Loss.Method(recipe.Settings.Family)),
        new("cd", "controlled decoding: mean of the reward-to-go, E[Z]/η", Tilt.Mean, _ => new ControlledDecodingMethod()),
        // ln E[Z] is the limit of Q♯'s tilt of a chance, but for a constant that cancels: at this η it is off by e^(−64) of E[Z].
        new("cd-log", "controlled decoding as in the paper's star-graph code: ln E[Z], the same for every η", Tilt.LogMeanExp, recipe => new QSharpMethod(recipe.Settings.Family))
        {
            FixedEta = 1 / 64.0,
        },
        new("vas", "value-augmented sampling: mean of the reward-to-go by TD(λ), less the candidates' mean, over η", Tilt.Mean, _ => new ControlledDecodingMethod())
        {
            ReturnLambda = 0.95f,
            Outside = Outside.Mean,
        },
        new("cd-q", "controlled decoding by Bellman steps (CD-Q): mean of the reward-to-go from the mean of its own next values", Tilt.Mean, _ => new ControlledDecodingMethod())
        {
            LearnsNextValue = true,
        },
        new("qsharp-td", "Q♯ by temporal differences, for tasks with an environment's turns: mean of the soft value after each token, at the one η it is trained for", Tilt.Mean,
            recipe => new QSharpMethod(recipe.Settings.Family))
        {
            IsSoftBellman = true,
        },
    ];

    /// <summary>The first of them.</summary>
    public static ValueMethod QSharp => ValueMethods[0];

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
        new("algae-dice", "reward less a divergence of visits, off-policy on samples of π_ref, by a saddle point with ν", PolicyData.Rollouts, _ => null)
        {
            Dice = recipe => new DiceObjective(recipe.Divergence, recipe.DiceAlpha),
        },
        new("sft", "next-token training on right samples of π_ref", PolicyData.Successes, _ => null),
    ];

    /// <summary>The method of a name, or null.</summary>
    public static PolicyEntry? FindPolicyMethod(string name) => PolicyMethods.FirstOrDefault(method => method.Name == name);

    /// <summary>The method of a name, or null.</summary>
    public static ValueMethod? FindValueMethod(string name) => ValueMethods.FirstOrDefault(method => method.Name == name);
}

/// <param name="Create">Makes the method as a recipe has it.</param>
public sealed record ValueMethod(string Name, string Description, Tilt Tilt, Func<GuideRecipe, Method> Create)
{
    /// <summary>The one η that it decodes at, where it does not depend on it.</summary>
    public double? FixedEta { get; init; }

    /// <summary>The tilt of tokens that are no candidates, where the method says it; truncation stays truncation.</summary>
    public Outside? Outside { get; init; }

    /// <summary>λ of TD(λ); 1 learns from the rewards themselves. A guide that is learned otherwise is of no use to other methods.</summary>
    public float ReturnLambda { get; init; } = 1;

    /// <summary>Whether it learns the mean of its own next values.</summary>
    public bool LearnsNextValue { get; init; }

    /// <summary>Whether its targets are its own values, of whole responses.</summary>
    public bool Bootstraps => SumsOverNextTokens || ReturnLambda < 1;

    /// <summary>
    /// Whether it learns soft values (<see cref="SoftBellmanLearner"/>), which hold for one η: its guide is of no use to other methods,
    /// nor theirs to it.
    /// </summary>
    public bool IsSoftBellman { get; init; }

    /// <summary>Whether its targets are means over the tokens that may come next, so that what decodes from a guide shapes its learning too.</summary>
    public bool SumsOverNextTokens => LearnsNextValue || IsSoftBellman;

    /// <summary>Whether it learns and decodes the mean of a return alone, which the Bernoulli family has as a chance.</summary>
    public bool IsOfMeans => Name != "qsharp" && !IsSoftBellman;
}

/// <summary>What a policy learns from.</summary>
public enum PolicyData
{
    /// <summary>Its own responses to new prompts.</summary>
    Policy,

    /// <summary>Pairs of a right response and a wrong one that π_ref gave.</summary>
    Pairs,

    /// <summary>All responses that π_ref gave.</summary>
    Rollouts,

    /// <summary>Right responses that π_ref gave.</summary>
    Successes,
}

/// <param name="Create">Makes the method; null for <see cref="Dice"/>, and where rows are learned as they are, by plain cross-entropy.</param>
public sealed record PolicyEntry(string Name, string Description, PolicyData Data, Func<PolicyRecipe, PolicyMethod?> Create)
{
    /// <summary>Responses are the policy's likeliest, not drawn.</summary>
    public bool IsGreedy { get; init; }

    /// <summary>Each prompt has several samples.</summary>
    public bool HasGroups { get; init; }

    /// <summary>Several steps learn from the same samples.</summary>
    public bool Repeats { get; init; }

    /// <summary>The saddle point that it learns by, beside a ν; null: it learns by a loss.</summary>
    public Func<PolicyRecipe, DiceObjective>? Dice { get; init; }
}
