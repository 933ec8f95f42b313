namespace QSharp.Cli;

/// <summary>What the process ends with.</summary>
internal static class ExitCodes
{
    public const int Done = 0;

    /// <summary>A check that was asked for failed, a card was lost, or an internal error.</summary>
    public const int Failure = 1;

    /// <summary>The input was wrong; one sentence on standard error says what, where and how to mend it.</summary>
    public const int UserError = 2;

    /// <summary>Stopped by Ctrl-C, the work saved.</summary>
    public const int Interrupted = 130;
}
