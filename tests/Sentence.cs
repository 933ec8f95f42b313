namespace QSharp.Tests;

/// <summary>What a message to the user must be: one line that ends as a sentence and names what was wrong.</summary>
internal static class Sentence
{
    public static void Assert(string message, params ReadOnlySpan<string> names)
    {
        Xunit.Assert.True(message.Length > 20 && message.EndsWith('.') && !message.Any(char.IsControl), message);
        Xunit.Assert.DoesNotContain("Exception", message);
        foreach (string name in names) Xunit.Assert.Contains(name, message);
    }
}
