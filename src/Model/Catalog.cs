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
        new("qsharp", "Q♯: distribution of the reward-to-go, ln E[exp(Z/η)]", Tilt.LogMeanExp, family => new QSharpMethod(family)),
        new("cd", "controlled decoding: mean of the reward-to-go, E[Z]/η", Tilt.Mean, _ => new ControlledDecodingMethod()),
    ];

    /// <summary>The method of a name, or null.</summary>
    public static ValueMethod? FindValueMethod(string name) => ValueMethods.FirstOrDefault(method => method.Name == name);
}

/// <param name="Create">Makes the method for a family of return distributions.</param>
public sealed record ValueMethod(string Name, string Description, Tilt Tilt, Func<ReturnFamily, Method> Create);
