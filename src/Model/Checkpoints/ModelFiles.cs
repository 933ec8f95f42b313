using System.Text.Json.Nodes;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// A model on disk, whatever its format: a Hugging Face folder, a GGUF file (seen as the folder that it stands for), or a
/// model id of the local hub cache. Weights, tokenizer and chat template are read when asked for.
/// </summary>
public sealed class ModelFiles : IDisposable
{
    private const string ConfigName = "config.json", GenerationName = "generation_config.json";

    private readonly Lazy<ITensorSource> _tensors;
    private readonly Lazy<Tokenizer> _tokenizer;
    private readonly Lazy<ChatTemplate?> _chat;
    private readonly JsonObject _generation;
    private readonly GgufCheckpoint? _gguf;

    private ModelFiles(string path, JsonObject config, JsonObject generation, Func<ITensorSource> tensors, Func<Tokenizer> tokenizer, Func<ChatTemplate?> chat,
        GgufCheckpoint? gguf)
    {
        Path = path;
        Config = config;
        _generation = generation;
        _tensors = new Lazy<ITensorSource>(tensors);
        _tokenizer = new Lazy<Tokenizer>(tokenizer);
        _chat = new Lazy<ChatTemplate?>(chat);
        _gguf = gguf;
        Transformer = ModelFamily.ReadConfig(config, gguf is null ? System.IO.Path.Combine(path, ConfigName) : path);
    }

    /// <summary>The folder or file.</summary>
    public string Path { get; }

    /// <summary>config.json.</summary>
    public JsonObject Config { get; }

    public TransformerConfig Transformer { get; }

    public ITensorSource Tensors => _tensors.Value;

    /// <exception cref="UserException">There is none, or it has a part that is not supported.</exception>
    public Tokenizer Tokenizer => _tokenizer.Value;

    /// <summary>The chat template, or null where the model has none.</summary>
    public ChatTemplate? Chat => _chat.Value;

    /// <summary>generation_config.json.</summary>
    internal JsonObject Generation => _generation;

    /// <summary>The checkpoint, where it is a GGUF file.</summary>
    internal GgufCheckpoint? Gguf => _gguf;

    /// <summary>What is QSharp's own in config.json, or null.</summary>
    internal JsonObject? Own => Config["qsharp"] as JsonObject;

    /// <summary>Ids that end a text: those of generation_config.json or else of config.json, one or a list.</summary>
    public IReadOnlyList<int> EndIds
    {
        get
        {
            JsonObject source = _generation["eos_token_id"] is not null ? _generation : Config;
            return new ConfigJson(source, System.IO.Path.Combine(Path, ReferenceEquals(source, Config) ? ConfigName : GenerationName)).Ids("eos_token_id");
        }
    }

    /// <summary>Whether the matrices are stored as BF16, or in blocks that a BF16 copy stands for.</summary>
    public bool IsBFloat16 => Tensors.Tensors.Any(tensor => tensor.Shape.Length > 1 && tensor.DType is not ("F32" or "F16"));

    /// <param name="path">A folder, a .gguf file, or org/name.</param>
    /// <exception cref="UserException">There is nothing there, or it is no model.</exception>
    public static ModelFiles Open(string path)
    {
        path = HubCache.Resolve(path);
        if (File.Exists(path)) return OpenGguf(path);
        if (!Directory.Exists(path)) throw new UserException($"{path}: there is no such folder or file; give the folder of a model, or a GGUF file.");
        string config = System.IO.Path.Combine(path, ConfigName), generation = System.IO.Path.Combine(path, GenerationName);
        if (!File.Exists(config)) throw new UserException($"{path}: there is no config.json here, so this is not a model folder.");
        return new ModelFiles(
            path, TextFile.Object(config), File.Exists(generation) ? TextFile.Object(generation) : [], () => SafeTensorsFolder.Open(path),
            () => TokenizerLoader.FromFolder(path), () => ChatTemplate.FromFolder(path), null);
    }

    /// <summary>Loads the weights as a language model.</summary>
    public LanguageModel LoadLanguageModel(Kernels.Ops ops, WeightFormat format = WeightFormat.Auto)
    {
        if (Own?["head"] is not null)
            throw new UserException($"{Path}: this is a guide, not a reference; give it as --guide and a reference as --model.");
        return Load(ops.Device, format, null, type => new LanguageModel(ops, Transformer, type));
    }

    /// <summary>Fills a model that is made for a type of matrices, once it is known that all tensors fit.</summary>
    /// <param name="guide">What the head is of, where the model is a guide.</param>
    internal T Load<T>(Engine.Device device, WeightFormat format, ValueSettings? guide, Func<DType, T> create) where T : HeadedModel
    {
        ModelTensors.Require(Tensors, Transformer, guide);
        if (format == WeightFormat.Auto && device.ActivationType == DType.BF16) format = WeightFormat.BF16;
        // A GGUF file stands for the BF16 folder that 'convert' writes, also where a model is to be trained in F32.
        bool round = format == WeightFormat.BF16 || (_gguf is not null && IsBFloat16);
        T model = create(format == WeightFormat.BF16 || (format == WeightFormat.Auto && IsBFloat16) ? DType.BF16 : DType.F32);
        try
        {
            ModelTensors.Import(Tensors, model, round);
            return model;
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        if (_gguf is not null) _gguf.Dispose();
        else if (_tensors.IsValueCreated) (_tensors.Value as IDisposable)?.Dispose();
    }

    private static ModelFiles OpenGguf(string path)
    {
        GgufCheckpoint gguf = GgufCheckpoint.Open(path);
        try
        {
            return new ModelFiles(
                path, gguf.Config, gguf.GenerationConfig, () => gguf, () => TokenizerLoader.FromJson(gguf.TokenizerJson, path), () => ChatOf(gguf), gguf);
        }
        catch
        {
            gguf.Dispose();
            throw;
        }
    }

    private static ChatTemplate? ChatOf(GgufCheckpoint gguf)
    {
        if (gguf.ChatTemplate is not { } template) return null;
        JsonObject config = gguf.TokenizerConfig;   // made anew each time, from the whole list of tokens
        return new ChatTemplate(template, (string?)config["bos_token"], (string?)config["eos_token"], gguf.Path);
    }
}

/// <summary>How a model's matrices are held in memory; arithmetic is fp32 in any case.</summary>
public enum WeightFormat
{
    /// <summary>BF16 where the file holds BF16 or quantised blocks, F32 otherwise: the file's own values.</summary>
    Auto,

    /// <summary>F32: for training, and twice the bytes to read in decoding.</summary>
    F32,

    /// <summary>Every parameter rounded to BF16.</summary>
    BF16,
}
