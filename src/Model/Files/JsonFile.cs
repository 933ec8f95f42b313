using System.Text.Json;
using System.Text.Json.Nodes;

namespace QSharp.Model;

/// <summary>A file that holds one JSON object: read strictly (a key may stand once), written whole or not at all.</summary>
internal static class JsonFile
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };
    private static readonly JsonDocumentOptions Strict = new() { AllowDuplicateProperties = false };

    /// <exception cref="JsonException">The text is not JSON, holds a key twice, or is not an object.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static JsonObject Read(string path) =>
        JsonNode.Parse(File.ReadAllText(path), documentOptions: Strict) as JsonObject ?? throw new JsonException("it is not an object");

    public static void Write(string path, JsonNode json) => AtomicFile.WriteText(path, json.ToJsonString(Indented) + "\n");
}
