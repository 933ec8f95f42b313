using System.Buffers;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Unicode;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>Reads a user's small files; whatever is wrong with one is a <see cref="UserException"/>.</summary>
public static class TextFile
{
    public static byte[] Bytes(string path)
    {
        try
        {
            return File.ReadAllBytes(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UserException($"{path} cannot be read ({error.Message.TrimEnd('.')}); check the file and its rights.", error);
        }
    }

    public static string Text(string path) => Encoding.UTF8.GetString(Utf8Bytes(path));

    /// <summary>A file that holds JSON; a key may stand once.</summary>
    public static JsonNode? Json(string path) => Json(Utf8Bytes(path), path);

    /// <summary>The same for a file that must hold an object.</summary>
    public static JsonObject Object(string path) =>
        Json(path) as JsonObject ?? throw new UserException($"{path}: not a JSON object; download it again.");

    /// <param name="source">Where the text stands, for messages.</param>
    public static JsonNode? Json(ReadOnlySpan<byte> json, string source)
    {
        try
        {
            // The tree would throw only when a damaged text is asked for.
            Utf8JsonReader reader = new(json);
            while (reader.Read())
                if (reader.TokenType is JsonTokenType.String or JsonTokenType.PropertyName) reader.GetString();
            return JsonNode.Parse(json, documentOptions: new JsonDocumentOptions { AllowDuplicateProperties = false });
        }
        catch (JsonException error)
        {
            throw new UserException($"{source}: not valid JSON ({Cause(error)}); mend it or download it again.", error);
        }
        catch (InvalidOperationException error)
        {
            throw new UserException($"{source}: a text is not valid UTF-8 or has half of a surrogate pair as an escape; mend it or download it again.", error);
        }
    }

    /// <summary>Where a text stops being JSON; a key that stands twice has no line, but is named.</summary>
    public static string Cause(JsonException error) => error.LineNumber is { } line ? $"line {line + 1}" : error.Message.TrimEnd('.');

    /// <summary>A file of text, without its byte order mark. Bytes that are no text are refused, as they would become U+FFFD without a word.</summary>
    private static ReadOnlySpan<byte> Utf8Bytes(string path)
    {
        ReadOnlySpan<byte> bytes = Bytes(path);
        if (bytes.StartsWith("\uFEFF"u8)) bytes = bytes[3..];
        if (Utf8.IsValid(bytes)) return bytes;
        int at = 0;
        while (Rune.DecodeFromUtf8(bytes[at..], out _, out int length) == OperationStatus.Done) at += length;
        throw new UserException($"{path}: line {bytes[..at].Count((byte)'\n') + 1} is not valid UTF-8; save the file as UTF-8, or download it again.");
    }
}
