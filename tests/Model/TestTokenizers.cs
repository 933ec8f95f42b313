using System.Text.Json.Nodes;

using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Small tokenizers, and where real ones lie.</summary>
internal static class TestTokenizers
{
    public static JsonObject Variants { get; } =
        JsonNode.Parse(File.ReadAllText(Path.Combine(Repository.Root, "tests", "golden", "tokenizers", "variants.json")))!.AsObject();

    public static IEnumerable<string> Names => Variants["variants"]!.AsArray().Select(variant => (string)variant!["name"]!);

    public static JsonObject Variant(string name) => Variants["variants"]!.AsArray().Single(variant => (string)variant!["name"]! == name)!.AsObject();

    /// <summary>A copy of a document: "llama" is SentencePiece-like, "gpt2" byte-level.</summary>
    public static JsonObject Document(string name) => Variant(name)["document"]!.DeepClone().AsObject();

    public static Tokenizer Make(string name) => TokenizerLoader.FromJson(Document(name), name);

    public static int[] Ints(JsonNode array) => [.. array.AsArray().Select(item => (int)item!)];

    /// <summary>A folder beside the repository; the test is skipped where it is absent.</summary>
    public static string Shared(params string[] names)
    {
        string folder = Path.Combine([Repository.Root, "..", "shared", .. names]);
        if (!Directory.Exists(folder)) Assert.Skip($"{names[^1]} is not in ../shared/{names[0]}.");
        return folder;
    }
}
