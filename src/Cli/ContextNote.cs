using QSharp.Model;

namespace QSharp.Cli;

/// <summary>Rotary positions go on past a model's context, where it has never been trained: that is allowed, but said. Learned ones do not, which is refused elsewhere.</summary>
internal static class ContextNote
{
    /// <param name="tokens">Most that prompt and response may take.</param>
    public static void Say(IProgressSink progress, int tokens, TransformerConfig config) => Say(progress, "Prompt and response may take", tokens, config);

    /// <param name="tokens">Of a text that is read.</param>
    public static void SayOfText(IProgressSink progress, int tokens, TransformerConfig config) => Say(progress, "The text takes", tokens, config);

    private static void Say(IProgressSink progress, string what, int tokens, TransformerConfig config)
    {
        if (tokens > config.Context && config.Position != Position.Learned) progress.Note($"{what} {tokens} tokens, but the model's context is {config.Context}.");
    }
}
