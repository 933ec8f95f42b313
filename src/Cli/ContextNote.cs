using QSharp.Model;

namespace QSharp.Cli;

/// <summary>Rotary positions go on past a model's context, where it has never been trained: that is allowed, but said.</summary>
internal static class ContextNote
{
    /// <param name="tokens">Most that prompt and response may take.</param>
    public static void Say(IProgressSink progress, int tokens, int context)
    {
        if (tokens > context) progress.Note($"Prompt and response may take {tokens} tokens, but the model's context is {context}.");
    }
}
