using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// Llama 2 and 3.x and what has its shape: Mistral, Qwen2 and 2.5 (biases of q, k, v), Qwen3 (norms of each head's q and k).
/// The older and the newer spelling of config.json are both read (rope_theta and rope_scaling, or rope_parameters).
/// </summary>
internal sealed class LlamaFamily : ModelFamily
{
    public override IReadOnlyList<string> Types { get; } = ["llama", "mistral", "qwen2", "qwen3"];

    public override string TrunkPrefix => "model.";

    public override TransformerConfig Read(ConfigJson json, string type)
    {
        json.RequireText("hidden_act", "silu");
        json.RequireFlag("rope_interleaved", false, "interleaved rotary positions");
        int width = json.Integer("hidden_size"), heads = json.Integer("num_attention_heads"), layers = json.Integer("num_hidden_layers");
        int context = json.Integer("max_position_embeddings");
        if (heads < 1) throw new UserException($"{json.Path}: num_attention_heads is {heads}; it must be at least 1.");
        if (!json.Has("head_dim") && width % heads != 0)
            throw new UserException($"{json.Path}: hidden_size is {width} and num_attention_heads is {heads}; without head_dim the first must be a multiple of the second.");
        RequireFullAttention(json, type, layers, context);
        if (type == "qwen3" && ReadBiases(json))
            throw new UserException($"{json.Path}: attention_bias and mlp_bias are true, but biases are not supported in a model of type qwen3.");
        (float theta, RopeScaling? scaling) = ReadRope(json, context);
        return new TransformerConfig
        {
            Layers = layers,
            Width = width,
            Heads = heads,
            KvHeads = json.Integer("num_key_value_heads", heads),
            HeadDim = json.Integer("head_dim", width / heads),
            Hidden = json.Integer("intermediate_size"),
            Vocab = json.Integer("vocab_size"),
            Context = context,
            Norm = Norm.RmsNorm,
            NormEpsilon = json.Real("rms_norm_eps", 1e-6f),
            Mlp = Mlp.SwiGlu,
            Position = Position.Rope,
            RopeTheta = theta,
            RopeScaling = scaling,
            QkvBias = type == "qwen2" || ReadBiases(json),
            OtherBias = type != "qwen2" && ReadBiases(json),
            QkNorm = type == "qwen3",
            TiedHead = json.Flag("tie_word_embeddings", false),
        };
    }

    public override JsonObject Write(TransformerConfig c)
    {
        if (c is not { Norm: Norm.RmsNorm, Mlp: Mlp.SwiGlu, Position: Position.Rope } || (c.QkNorm && c.QkvBias) || (c.OtherBias && !c.QkvBias))
            throw new ArgumentException("Only a model of Llama's kind can be written as one.");
        (string type, string architecture) = c switch
        {
            { QkNorm: true } => ("qwen3", "Qwen3ForCausalLM"),
            { QkvBias: true, OtherBias: false } => ("qwen2", "Qwen2ForCausalLM"),
            _ => ("llama", "LlamaForCausalLM"),
        };
        JsonObject json = new()
        {
            ["architectures"] = new JsonArray(architecture),
            ["model_type"] = type,
            ["hidden_act"] = "silu",
            ["num_hidden_layers"] = c.Layers,
            ["hidden_size"] = c.Width,
            ["num_attention_heads"] = c.Heads,
            ["num_key_value_heads"] = c.KvHeads,
            ["head_dim"] = c.HeadDim,
            ["intermediate_size"] = c.Hidden,
            ["max_position_embeddings"] = c.Context,
            ["vocab_size"] = c.Vocab,
            ["rms_norm_eps"] = c.NormEpsilon,
            ["rope_theta"] = c.RopeTheta,
            ["rope_scaling"] = c.RopeScaling is not { } scaling ? null : new JsonObject
            {
                ["rope_type"] = "llama3",
                ["factor"] = scaling.Factor,
                ["low_freq_factor"] = scaling.LowFrequencyFactor,
                ["high_freq_factor"] = scaling.HighFrequencyFactor,
                ["original_max_position_embeddings"] = scaling.OriginalContext,
            },
            ["tie_word_embeddings"] = c.TiedHead,
        };
        if (type != "llama") return json;
        json["attention_bias"] = c.OtherBias;
        json["mlp_bias"] = c.OtherBias;
        return json;
    }

    public override TensorPart[] Parts(string name, TransformerConfig c)
    {
        string[] words = name.Split('.');
        if (words.Length == 3) return BlockParts(TrunkPrefix + $"layers.{words[1]}.", words[2], c);
        return name switch
        {
            "tokens" => [new("model.embed_tokens.weight", c.Vocab)],
            "final_norm" => [new("model.norm.weight", c.Width)],
            _ => throw new ArgumentException($"Unknown parameter {name}."),
        };
    }

    public override bool IsConstant(string name) => name.EndsWith(".rotary_emb.inv_freq", StringComparison.Ordinal);

    private static TensorPart[] BlockParts(string block, string kind, TransformerConfig c)
    {
        int queries = c.Heads * c.HeadDim, keys = c.KvHeads * c.HeadDim;
        string attention = block + "self_attn.", mlp = block + "mlp.";
        return kind switch
        {
            "qkv" => Qkv("weight"),
            "qkv_bias" => Qkv("bias"),
            "query_norm" => [new(attention + "q_norm.weight", c.HeadDim)],
            "key_norm" => [new(attention + "k_norm.weight", c.HeadDim)],
            "out" => [new(attention + "o_proj.weight", c.Width)],
            "out_bias" => [new(attention + "o_proj.bias", c.Width)],
            "up" => [new(mlp + "gate_proj.weight", c.Hidden), new(mlp + "up_proj.weight", c.Hidden)],
            "up_bias" => [new(mlp + "gate_proj.bias", c.Hidden), new(mlp + "up_proj.bias", c.Hidden)],
            "down" => [new(mlp + "down_proj.weight", c.Width)],
            "down_bias" => [new(mlp + "down_proj.bias", c.Width)],
            "norm1" => [new(block + "input_layernorm.weight", c.Width)],
            "norm2" => [new(block + "post_attention_layernorm.weight", c.Width)],
            _ => throw new ArgumentException($"Unknown parameter {block}{kind}."),
        };

        TensorPart[] Qkv(string what) =>
            [new($"{attention}q_proj.{what}", queries), new($"{attention}k_proj.{what}", keys), new($"{attention}v_proj.{what}", keys)];
    }

    /// <summary>Llama's two switches; this engine has biases in all products or in none of them.</summary>
    private static bool ReadBiases(ConfigJson json)
    {
        bool attention = json.Flag("attention_bias", false), mlp = json.Flag("mlp_bias", false);
        if (attention != mlp)
            throw new UserException($"{json.Path}: attention_bias is {(attention ? "true" : "false")} and mlp_bias is {(mlp ? "true" : "false")}; biases in only one of them are not supported.");
        return attention;
    }

    /// <summary>A window that never cuts anything off is no window.</summary>
    private static void RequireFullAttention(ConfigJson json, string type, int layers, int context)
    {
        bool isOn = type switch
        {
            "mistral" => json.Has("sliding_window"),
            "qwen2" or "qwen3" => json.Has("sliding_window") && json.Flag("use_sliding_window", false) && json.Integer("max_window_layers", layers) < layers,
            _ => false,
        };
        isOn |= json.Texts("layer_types").Any(layer => layer != "full_attention");
        if (isOn && json.Integer("sliding_window", 0) < context)
            throw new UserException($"{json.Path}: a sliding window of {json.Integer("sliding_window", 0)} tokens is in use, which is not supported; only full attention is.");
    }

    private static RopeScaling Llama3(ConfigJson rope, int context)
    {
        RopeScaling scaling = new(
            rope.Real("factor"), rope.Real("low_freq_factor"), rope.Real("high_freq_factor"), rope.Integer("original_max_position_embeddings", context));
        if (scaling is { Factor: > 0, LowFrequencyFactor: > 0, OriginalContext: > 0 } && scaling.HighFrequencyFactor > scaling.LowFrequencyFactor) return scaling;
        throw new UserException($"{rope.Path}: factor, low_freq_factor and original_max_position_embeddings must be above 0, and high_freq_factor above low_freq_factor.");
    }

    private static void RequireWholeHeads(ConfigJson json)
    {
        if (json.Real("partial_rotary_factor", 1) is var factor && factor != 1)
            throw new UserException($"{json.Path}: partial_rotary_factor is {factor}, but rotating a part of each head is not supported.");
    }

    /// <summary>θ may stand beside the scaling or inside of it; the inner one counts.</summary>
    private static (float Theta, RopeScaling? Scaling) ReadRope(ConfigJson json, int context)
    {
        ConfigJson? rope = json.Object("rope_parameters") ?? json.Object("rope_scaling");
        if (rope?.InnerKey is { } layers)
            throw new UserException($"{rope.Path}.{layers} is an object, but rotary positions of their own for each kind of layer are not supported.");
        RequireWholeHeads(json);
        if (rope is not null) RequireWholeHeads(rope);
        float theta = json.Real("rope_theta", 10000);
        if (rope is not null) theta = rope.Real("rope_theta", theta);
        if (!(theta > 0 && float.IsFinite(theta))) throw new UserException($"{json.Path}: rope_theta is {theta}; it must be above 0.");
        if (rope is null) return (theta, null);
        string type = rope.Has("rope_type") ? rope.Text("rope_type") : rope.Has("type") ? rope.Text("type") : "default";
        return type switch
        {
            "default" => (theta, null),
            "llama3" => (theta, Llama3(rope, context)),
            _ => throw new UserException($"{rope.Path}.rope_type is '{type}', which is not supported; only default and llama3 are."),
        };
    }
}
