using System.Text.Json.Nodes;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>One turn of a conversation.</summary>
/// <param name="Role">Who speaks: system, user or assistant, or what else a model's template knows.</param>
/// <param name="Content">What is said.</param>
public sealed record ChatMessage(string Role, string Content)
{
    /// <summary>Reads a JSON file that holds an array of {"role", "content"}.</summary>
    /// <exception cref="UserException">The file is missing or is something else.</exception>
    public static IReadOnlyList<ChatMessage> ReadMessages(string path)
    {
        if (!File.Exists(path)) throw new UserException($"{path}: there is no such file; give a JSON array of messages with role and content.");
        if (TextFile.Json(path) is not JsonArray messages) throw new UserException($"{path}: not an array; write a JSON array of messages with role and content.");
        return Read(messages, path);
    }

    /// <summary>The messages of an array.</summary>
    /// <param name="source">Where it stands, for messages.</param>
    /// <exception cref="UserException">One of them is no message.</exception>
    public static IReadOnlyList<ChatMessage> Read(JsonArray messages, string source) =>
        [.. messages.Select((message, i) => Read(message, i, source))];

    private static ChatMessage Read(JsonNode? message, int at, string source)
    {
        ChatMessage read = new(Text(message, "role", at, source), Text(message, "content", at, source));
        string? unknown = message!.AsObject().Select(entry => entry.Key).FirstOrDefault(key => key is not ("role" or "content"));
        return unknown is null ? read : throw new UserException($"{source}: message {at}: '{unknown}' is not supported; each message has a role and a content, and nothing else.");
    }

    private static string Text(JsonNode? message, string key, int at, string path)
    {
        try
        {
            if (message is JsonObject json && json[key] is JsonValue value && value.TryGetValue(out string? text)) return text;
        }
        catch (InvalidOperationException)
        {
            throw new UserException($"{path}: message {at}: '{key}' has half of a surrogate pair as an escape; write the whole character.");
        }
        throw new UserException($"{path}: message {at}: '{key}' is missing or not a text; each message has a role and a content, both texts.");
    }
}
