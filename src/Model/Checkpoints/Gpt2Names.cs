using System.Text.Json.Nodes;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>GPT-2 in the transformers library's words: config keys, tensor names, and products stored [in, out].</summary>
internal static class Gpt2Names
{
    private const string Trunk = "transformer.";
    private const string LmHead = "lm_head.weight", ValueHead = "value_head.weight", ValueHeadBias = "value_head.bias";

    public static JsonObject Config(TransformerConfig c, string architecture)
    {
        if (c is not { Norm: Norm.LayerNorm, Mlp: Mlp.Gelu, Position: Position.Learned, QkvBias: true, OtherBias: true } || c.KvHeads != c.Heads)
            throw new ArgumentException("Only a model of GPT-2's kind can be written as one.");
        return new JsonObject
        {
            ["architectures"] = new JsonArray(architecture),
            ["model_type"] = "gpt2",
            ["activation_function"] = "gelu_new",
            ["n_layer"] = c.Layers,
            ["n_embd"] = c.Width,
            ["n_head"] = c.Heads,
            ["n_inner"] = c.Hidden,
            ["n_positions"] = c.Context,
            ["n_ctx"] = c.Context,
            ["vocab_size"] = c.Vocab,
            ["layer_norm_epsilon"] = c.NormEpsilon,
            ["tie_word_embeddings"] = c.TiedHead,
            ["torch_dtype"] = "float32",
        };
    }

    /// <exception cref="UserException">The config is not GPT-2's, or uses what QSharp lacks.</exception>
    public static TransformerConfig Config(JsonObject json, string path)
    {
        string type = Text(json, "model_type", path);
        if (type != "gpt2") throw new UserException($"{path}: model_type is '{type}'; this version loads 'gpt2' only.");
        if (json["activation_function"] is { } activation && !IsText(activation, "gelu_new"))
            throw new UserException($"{path}: activation_function is '{activation}'; only gelu_new is supported.");
        if (!Flag(json, "scale_attn_weights", absent: true, path))
            throw new UserException($"{path}: scale_attn_weights is false; only attention scaled by the head size is supported.");
        if (Flag(json, "scale_attn_by_inverse_layer_idx", absent: false, path))
            throw new UserException($"{path}: scale_attn_by_inverse_layer_idx is true; only the same scale in every layer is supported.");
        int width = Number(json, "n_embd", path), heads = Number(json, "n_head", path);
        if (heads < 1 || width % heads != 0) throw new UserException($"{path}: n_embd is {width} and n_head is {heads}; the first must be a multiple of the second.");
        TransformerConfig config = TransformerConfig.Gpt2(
            Number(json, "n_layer", path), width, heads, Number(json, "vocab_size", path), Number(json, "n_positions", path),
            Flag(json, "tie_word_embeddings", absent: true, path));
        if (json["layer_norm_epsilon"] is not null) config = config with { NormEpsilon = Real(json, "layer_norm_epsilon", path) };
        if (json["n_inner"] is not null) config = config with { Hidden = Number(json, "n_inner", path) };
        return config.Validated(path);
    }

    public static IEnumerable<SafeTensorsSource> Export(HeadedModel model)
    {
        foreach ((string name, Tensor value, _) in model.Weights.Named)
        {
            (string external, bool transposed) = External(name, model is ValueModel);
            float[] values = new float[value.Count];
            model.Ops.Device.Download<float>(value, values);
            long[] shape = NativeTensors.Shape(value);
            if (transposed)
            {
                values = Transpose(values, value.Shape.D0, value.Shape.D1);
                (shape[0], shape[1]) = (shape[1], shape[0]);
            }
            yield return SafeTensorsSource.FromFloats(external, shape, values);
        }
    }

    /// <summary>
    /// Fills a model. The first GPT-2 files name the trunk's tensors without a prefix; they hold the causal masks too, and
    /// other files repeat a tied head: neither is a parameter.
    /// </summary>
    /// <exception cref="UserException">A tensor is missing, unknown or has another shape.</exception>
    public static void Import(SafeTensorsFolder tensors, HeadedModel model)
    {
        bool hasPrefix = !tensors.TryFind("wte.weight", out _);
        HashSet<string> used = [];
        foreach ((string name, Tensor value, _) in model.Weights.Named)
        {
            (string external, bool transposed) = External(name, model is ValueModel);
            if (!hasPrefix && external.StartsWith(Trunk, StringComparison.Ordinal)) external = external[Trunk.Length..];
            used.Add(external);
            SafeTensorsEntry entry = tensors.Find(external);
            long[] shape = NativeTensors.Shape(value);
            if (transposed) (shape[0], shape[1]) = (shape[1], shape[0]);
            if (!entry.Shape.AsSpan().SequenceEqual(shape))
                throw new UserException($"{tensors.Path}: {external} is [{string.Join(", ", entry.Shape)}], but config.json calls for [{string.Join(", ", shape)}].");
            float[] values = new float[value.Count];
            tensors.CopyTo(entry, values);
            if (transposed) values = Transpose(values, value.Shape.D1, value.Shape.D0);
            model.Ops.Device.Upload<float>(values, value);
        }
        foreach (SafeTensorsEntry entry in tensors.Entries)
            if (!used.Contains(entry.Name) && !IsMask(entry.Name) && !(model.HeadShape.Tied && entry.Name == LmHead))
                throw new UserException($"{tensors.Path}: the tensor '{entry.Name}' belongs to no part of a {model.Config.Layers}-layer GPT-2 model.");
    }

    /// <summary>Not to be taken for the bias of the product, <c>attn.c_attn.bias</c>.</summary>
    private static bool IsMask(string name) =>
        name.EndsWith(".attn.bias", StringComparison.Ordinal) || name.EndsWith(".attn.masked_bias", StringComparison.Ordinal);

    private static (string Name, bool Transposed) External(string name, bool isGuide)
    {
        string[] parts = name.Split('.');
        if (parts.Length == 3)
        {
            string block = $"transformer.h.{parts[1]}.";
            return parts[2] switch
            {
                "qkv" => (block + "attn.c_attn.weight", true),
                "qkv_bias" => (block + "attn.c_attn.bias", false),
                "out" => (block + "attn.c_proj.weight", true),
                "out_bias" => (block + "attn.c_proj.bias", false),
                "up" => (block + "mlp.c_fc.weight", true),
                "up_bias" => (block + "mlp.c_fc.bias", false),
                "down" => (block + "mlp.c_proj.weight", true),
                "down_bias" => (block + "mlp.c_proj.bias", false),
                "norm1" => (block + "ln_1.weight", false),
                "norm1_bias" => (block + "ln_1.bias", false),
                "norm2" => (block + "ln_2.weight", false),
                "norm2_bias" => (block + "ln_2.bias", false),
                _ => throw new ArgumentException($"Unknown parameter {name}."),
            };
        }
        return name switch
        {
            "tokens" => ("transformer.wte.weight", false),
            "positions" => ("transformer.wpe.weight", false),
            "final_norm" => ("transformer.ln_f.weight", false),
            "final_norm_bias" => ("transformer.ln_f.bias", false),
            "head" => (isGuide ? ValueHead : LmHead, false),
            "head_bias" => (ValueHeadBias, false),
            _ => throw new ArgumentException($"Unknown parameter {name}."),
        };
    }

    private static float[] Transpose(float[] values, int rows, int columns)
    {
        float[] result = new float[values.Length];
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < columns; c++) result[c * rows + r] = values[r * columns + c];
        return result;
    }

    private static bool IsText(JsonNode node, string text) => node is JsonValue value && value.TryGetValue(out string? found) && found == text;

    private static string Text(JsonObject json, string key, string path) =>
        json[key] is JsonValue value && value.TryGetValue(out string? text) ? text : throw new UserException($"{path}: {key} is missing or not a text.");

    private static int Number(JsonObject json, string key, string path) =>
        json[key] is JsonValue value && value.TryGetValue(out int number) ? number : throw new UserException($"{path}: {key} is missing or not a whole number.");

    private static float Real(JsonObject json, string key, string path) =>
        json[key] is JsonValue value && value.TryGetValue(out float number) ? number
            : throw new UserException($"{path}: {key} is missing or not a number.");

    private static bool Flag(JsonObject json, string key, bool absent, string path) => json[key] switch
    {
        null => absent,
        JsonValue value when value.TryGetValue(out bool flag) => flag,
        _ => throw new UserException($"{path}: {key} is neither true nor false."),
    };
}
