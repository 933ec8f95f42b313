using System.CommandLine;

namespace QSharp.Cli;

/// <summary>What was wrong with a command line, in one sentence: the first thing, and the name that was probably meant.</summary>
internal static class ParseErrors
{
    public static string First(RootCommand root, ParseResult result)
    {
        Command verb = result.CommandResult.Command;
        string? word = result.UnmatchedTokens.FirstOrDefault();
        string[] verbs = [.. root.Subcommands.Select(command => command.Name)];
        if (word is null) return verb == root ? $"Say what to do: {string.Join(", ", verbs)}." : result.Errors[0].Message;
        if (word.StartsWith('-'))
        {
            string option = word.Split('=')[0];
            string owner = verb == root ? "qsharp" : verb.Name;
            return $"{option} is no option of '{owner}'{Nearest.Hint(option, verb.Options.Select(known => known.Name))}.";
        }
        return verb == root ? $"'{word}' is no verb of 'qsharp'{Nearest.Hint(word, verbs)}." : $"'{word}' belongs to no option of '{verb.Name}'; leave it out, or put the option's name before it.";
    }
}
