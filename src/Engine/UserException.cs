namespace QSharp.Engine;

/// <summary>
/// The user's input was wrong. The message is one sentence that says what, where and how to mend it;
/// the command line prints it without a stack trace and exits with code 2.
/// </summary>
public sealed class UserException : Exception
{
    public UserException(string message) : base(message) { }

    public UserException(string message, Exception inner) : base(message, inner) { }
}
