using System.Text.Json.Nodes;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>One tensor of a checkpoint: some rows of a parameter of ours.</summary>
/// <param name="Name">In the transformers library's words.</param>
/// <param name="Rows">How many rows (or entries of a vector) it gives.</param>
/// <param name="IsTransposed">Stored [in, out] instead of [out, in].</param>
internal readonly record struct TensorPart(string Name, int Rows, bool IsTransposed = false);

/// <summary>
/// A family of models in the transformers library's words: the keys of its config.json and the names and layouts of its
/// tensors. Chosen by the config's model_type, never by a folder's name.
/// </summary>
internal abstract class ModelFamily
{
    /// <summary>The values of model_type that this family reads.</summary>
    public abstract IReadOnlyList<string> Types { get; }

    /// <summary>What the trunk's tensors are called before their own name; some files leave it out.</summary>
    public abstract string TrunkPrefix { get; }

    /// <exception cref="UserException">A key is missing or wrong, or asks for what this engine lacks.</exception>
    public abstract TransformerConfig Read(ConfigJson json, string type);

    public abstract JsonObject Write(TransformerConfig config);

    /// <summary>The tensors of a checkpoint that make up a parameter, in the order of its rows.</summary>
    /// <param name="name">As in <see cref="Parameters.Named"/>.</param>
    public abstract TensorPart[] Parts(string name, TransformerConfig config);

    /// <summary>Whether a tensor of a checkpoint is none of a model's parameters: masks and other constants.</summary>
    public abstract bool IsConstant(string name);

    public const string LmHead = "lm_head.weight", ValueHead = "value_head.weight", ValueHeadBias = "value_head.bias";

    private static readonly ModelFamily[] _all = [new Gpt2Family(), new LlamaFamily()];

    /// <summary>The family that a config names.</summary>
    /// <exception cref="UserException">It is none of ours.</exception>
    public static ModelFamily Of(ConfigJson json)
    {
        string type = json.Text("model_type");
        return _all.FirstOrDefault(family => family.Types.Contains(type)) ?? throw new UserException(
            $"{json.Path}: model_type is '{type}', which is not supported; these are: {string.Join(", ", _all.SelectMany(family => family.Types))}.");
    }

    /// <summary>The family that writes a model.</summary>
    public static ModelFamily Of(TransformerConfig config) => config.Norm == Norm.LayerNorm ? _all[0] : _all[1];

    /// <summary>The numbers and switches of a config.json.</summary>
    public static TransformerConfig ReadConfig(JsonObject json, string path)
    {
        ConfigJson config = new(json, path);
        if (config.Has("quantization_config"))
            throw new UserException($"{path}: quantization_config is given, but quantised safetensors are not supported; give the unquantised model, or a GGUF file.");
        return Of(config).Read(config, config.Text("model_type")).Validated(path);
    }
}
