using System.CommandLine;

using QSharp.Engine;

namespace QSharp.Cli;

/// <summary>Which options the user has given, on the command line or in a file, rather than left at their defaults.</summary>
internal static class GivenOptions
{
    public static bool IsGiven(this ParseResult parsed, Option option) => parsed.GetResult(option) is { Implicit: false };

    /// <summary>The first of some options that the user has given, or null.</summary>
    public static Option? FirstGiven(this ParseResult parsed, params IEnumerable<Option> options) => options.FirstOrDefault(parsed.IsGiven);

    /// <summary>Refuses options that only say how a guide is decoded from, where there is no guide.</summary>
    /// <exception cref="UserException">The user has given one of them.</exception>
    public static void RequireNoGuided(this ParseResult parsed, params IEnumerable<Option> options)
    {
        if (parsed.FirstGiven(options) is { } given)
            throw new UserException($"{given.Name} says how a guide is decoded from; give one with --guide, or leave {given.Name} out.");
    }
}
