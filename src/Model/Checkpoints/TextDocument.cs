using System.Text.Json;
using System.Text.Json.Nodes;

namespace QSharp.Model;

/// <summary>A file that a model folder holds besides its weights, so that its tokens are text: tokenizer, chat template, end tokens.</summary>
public sealed record TextDocument(string Name, byte[] Content)
{
    private const string Generation = "generation_config.json", End = "eos_token_id";

    private static readonly string[] _names =
    [
        TokenizerLoader.FileName, "vocab.json", "merges.txt", "added_tokens.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "chat_template.json",
    ];

    /// <summary>Those of a model: a folder, or what a GGUF file stands for. The end tokens are always in generation_config.json, wherever they were.</summary>
    /// <exception cref="QSharp.Engine.UserException">There is no such model, or it is damaged.</exception>
    public static IReadOnlyList<TextDocument> ReadAll(string path)
    {
        using ModelFiles files = ModelFiles.Open(path);
        JsonObject generation = files.Generation.DeepClone().AsObject();
        if (generation[End] is null && files.Config[End] is { } end) generation[End] = end.DeepClone();
        TextDocument last = Of(Generation, generation);
        if (files.Gguf is { } gguf) return [Of(TokenizerLoader.FileName, gguf.TokenizerJson), Of("tokenizer_config.json", gguf.TokenizerConfig), last];
        return [.. _names.Select(name => (Name: name, Path: Path.Combine(files.Path, name))).Where(each => File.Exists(each.Path))
            .Select(each => new TextDocument(each.Name, TextFile.Bytes(each.Path))), last];
    }

    private static TextDocument Of(string name, JsonObject json) => new(name, JsonSerializer.SerializeToUtf8Bytes(json));
}
