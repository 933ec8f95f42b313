using QSharp.Engine;

namespace QSharp.Model;

/// <summary>What lies at a path: its tensors, and the model that they make up if they do.</summary>
public sealed class Inspection : IDisposable
{
    private readonly IDisposable _owner;

    private Inspection(IDisposable owner, string path, string format, IReadOnlyList<TensorEntry> tensors, IReadOnlyDictionary<string, string> metadata)
    {
        _owner = owner;
        Path = path;
        Format = format;
        Tensors = tensors;
        Metadata = metadata;
    }

    public string Path { get; }

    /// <summary>"model folder", "guide folder", "safetensors file" or "GGUF file".</summary>
    public string Format { get; }

    public IReadOnlyList<TensorEntry> Tensors { get; }

    /// <summary>Texts that the file says about itself.</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; }

    /// <summary>The model, where it is one that can be run.</summary>
    public TransformerConfig? Config { get; private init; }

    /// <summary>What the guide is, where it is one.</summary>
    public GuideDescription? Guide { get; private init; }

    /// <summary>Why it is no model that can be run, where it is a well-formed file all the same.</summary>
    public string? Unsupported { get; private init; }

    /// <exception cref="UserException">There is nothing there, or it is malformed: one sentence that says where.</exception>
    public static Inspection Open(string path)
    {
        path = HubCache.Resolve(path);
        if (path.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase)) return OpenGguf(path);
        SafeTensorsFolder tensors = SafeTensorsFolder.Open(path);
        bool isModel = ModelFolder.Exists(path);
        GuideDescription? guide = GuideFolder.Describe(path);
        // A head on its reference's trunk is whole, but no transformer.
        (TransformerConfig? config, string? unsupported) = isModel && guide is not { SharesTrunk: true } ? Model(path, guide) : default;
        string format = guide is not null ? "guide folder" : isModel ? "model folder" : "safetensors file";
        return new Inspection(tensors, path, format, ((ITensorSource)tensors).Tensors, tensors.Metadata)
        {
            Config = config,
            Guide = guide,
            Unsupported = unsupported,
        };
    }

    public void Dispose() => _owner.Dispose();

    private static Inspection OpenGguf(string path)
    {
        GgufFile file = GgufFile.Open(path);
        (TransformerConfig? config, string? unsupported) = Model(path, null);
        return new Inspection(
            file, path, "GGUF file", [.. file.Tensors.Select(tensor => new TensorEntry(tensor.Name, tensor.Type, tensor.Shape, tensor.ByteCount))], file.Summary())
        {
            Config = config,
            Unsupported = unsupported,
        };
    }

    private static (TransformerConfig? Config, string? Unsupported) Model(string path, GuideDescription? guide)
    {
        try
        {
            using ModelFiles files = ModelFiles.Open(path);
            ModelTensors.Require(files.Tensors, files.Transformer, guide?.Settings);
            return (files.Transformer, null);
        }
        catch (UserException refusal)
        {
            return (null, refusal.Message);
        }
    }
}
