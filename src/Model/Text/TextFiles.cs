using QSharp.Engine;

namespace QSharp.Model;

/// <summary>What a model brings to turn text into ids and back.</summary>
/// <param name="Chat">Null where the model has no chat template.</param>
public sealed record TextFiles(Tokenizer Tokenizer, ChatTemplate? Chat)
{
    /// <summary>Reads them from a model: a folder, or a GGUF file.</summary>
    /// <exception cref="UserException">A file is missing, damaged or of an unknown kind.</exception>
    public static TextFiles Open(string path)
    {
        path = HubCache.Resolve(path);
        if (!File.Exists(path)) return new TextFiles(TokenizerLoader.FromFolder(path), ChatTemplate.FromFolder(path));   // without a config
        using ModelFiles files = ModelFiles.Open(path);
        return new TextFiles(files.Tokenizer, files.Chat);
    }
}
