using System.CommandLine;

using QSharp.Engine;
using QSharp.Model;

namespace QSharp.Cli.Verbs;

/// <summary>--blocks of the verbs that decode.</summary>
internal sealed class BlockOption
{
    private readonly Option<CommaList<int>?> _option;

    /// <param name="use">What it is to the verb.</param>
    public BlockOption(Command verb, string use)
    {
        _option = OptionFactory.Blocks(use);
        verb.Options.Add(_option);
    }

    /// <summary>The blocks asked for, or null.</summary>
    /// <exception cref="UserException">There is no guide to choose among them.</exception>
    public BlockSettings? Settings(ParseResult parsed, bool hasGuide)
    {
        if (parsed.GetValue(_option) is not { Values: [int count, int tokens] }) return null;
        if (!hasGuide) throw new UserException("--blocks: a guide says which block is best; give one with --guide, or leave --blocks out.");
        return new BlockSettings(count, tokens);
    }
}
