using System.CommandLine;
using System.CommandLine.Parsing;

namespace QSharp.Cli;

/// <summary>What was wrong with a command line, in one sentence: the first thing, and the name that was probably meant.</summary>
internal static class ParseErrors
{
    /// <returns>Null where nothing was wrong.</returns>
    public static string? First(RootCommand root, ParseResult result)
    {
        Command verb = result.CommandResult.Command;
        string? mistyped = MistypedOption(result), word = mistyped ?? result.UnmatchedTokens.FirstOrDefault();
        if (mistyped is null && result.Errors.Count == 0) return null;
        string[] verbs = [.. root.Subcommands.Select(command => command.Name)];
        if (word is null) return verb == root ? $"Say what to do: {string.Join(", ", verbs)}." : result.Errors[0].Message;
        if (word.StartsWith('-'))
        {
            string option = word.Split('=')[0];
            string owner = verb == root ? "qsharp" : verb.Name;
            string hint = Nearest.Hint(option, verb.Options.Select(known => known.Name));
            return $"{option} is no option of '{owner}'{(hint.Length == 0 && mistyped is not null ? "; if it is meant as it stands, put a lone -- before it" : hint)}.";
        }
        return verb == root ? $"'{word}' is no verb of 'qsharp'{Nearest.Hint(word, verbs)}." : $"'{word}' belongs to no option of '{verb.Name}'; leave it out, or put the option's name before it.";
    }

    /// <summary>An option of no verb that was taken for an argument, which a word with two dashes is only behind a lone pair of them.</summary>
    private static string? MistypedOption(ParseResult result)
    {
        Token[] before = [.. result.Tokens.TakeWhile(token => token.Type != TokenType.DoubleDash)];
        return result.CommandResult.Command.Arguments.SelectMany(argument => result.GetResult(argument)?.Tokens ?? [])
            .FirstOrDefault(token => token.Value.StartsWith("--", StringComparison.Ordinal) && before.Contains(token))?.Value;
    }
}
