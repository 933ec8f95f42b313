using System.Text.Json;
using System.Text.Json.Nodes;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// Reads tokenizers: the tokenizer.json of Hugging Face with a byte-pair model, as the GPT-2, Llama, Mistral, Qwen and SmolLM
/// families have it, or GPT-2's vocab.json and merges.txt. A part that is not known here is refused by name, never passed over.
/// </summary>
public static class TokenizerLoader
{
    public const string FileName = "tokenizer.json";

    /// <summary>Reads the tokenizer of a model's folder.</summary>
    /// <exception cref="UserException">There is none, or it is damaged or of an unknown kind.</exception>
    public static Tokenizer FromFolder(string folder)
    {
        if (!Directory.Exists(folder)) throw new UserException($"{folder}: there is no such folder; give the folder of a model.");
        string path = Path.Combine(folder, FileName);
        if (File.Exists(path)) return TokenizerJson.Read(TextFile.Bytes(path), path);
        if (Gpt2TokenizerFiles.Exist(folder)) return FromJson(Gpt2TokenizerFiles.Document(folder), folder);
        string protobuf = File.Exists(Path.Combine(folder, "tokenizer.model"))
            ? "; its tokenizer.model, a SentencePiece protobuf, is not read here, so save the model with its fast tokenizer"
            : "; take them from where the model came from";
        throw new UserException($"{folder}: there is no tokenizer: neither tokenizer.json nor vocab.json with merges.txt is here{protobuf}.");
    }

    /// <summary>Reads a document in the layout of a tokenizer.json, such as one made from the metadata of a GGUF file.</summary>
    /// <param name="source">The document's name, for messages.</param>
    /// <exception cref="UserException">It is damaged or of an unknown kind.</exception>
    public static Tokenizer FromJson(JsonObject document, string source) =>
        TokenizerJson.Read(JsonSerializer.SerializeToUtf8Bytes(document), source);
}
