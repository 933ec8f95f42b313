using System.CommandLine;

namespace QSharp.Cli;

/// <summary>Which options the user has given, on the command line or in a file, rather than left at their defaults.</summary>
internal static class GivenOptions
{
    public static bool IsGiven(this ParseResult parsed, Option option) => parsed.GetResult(option) is { Implicit: false };

    /// <summary>The first of some options that the user has given, or null.</summary>
    public static Option? FirstGiven(this ParseResult parsed, params IEnumerable<Option> options) => options.FirstOrDefault(parsed.IsGiven);
}
