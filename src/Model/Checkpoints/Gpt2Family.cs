using System.Text.Json.Nodes;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>GPT-2: products stored [in, out], learned positions, biases everywhere.</summary>
internal sealed class Gpt2Family : ModelFamily
{
    public override IReadOnlyList<string> Types { get; } = ["gpt2"];

    public override string TrunkPrefix => "transformer.";

    public override TransformerConfig Read(ConfigJson json, string type)
    {
        json.RequireText("activation_function", "gelu_new", "gelu_pytorch_tanh");
        json.RequireFlag("scale_attn_weights", true, "attention that is not scaled by the head size");
        json.RequireFlag("scale_attn_by_inverse_layer_idx", false, "another attention scale in each layer");
        json.RequireFlag("add_cross_attention", false, "cross-attention");
        int width = json.Integer("n_embd"), heads = json.Integer("n_head");
        if (heads < 1 || width % heads != 0)
            throw new UserException($"{json.Path}: n_embd is {width} and n_head is {heads}; the first must be a multiple of the second.");
        TransformerConfig config = TransformerConfig.Gpt2(
            json.Integer("n_layer"), width, heads, json.Integer("vocab_size"), json.Integer("n_positions"), json.Flag("tie_word_embeddings", true));
        return config with
        {
            NormEpsilon = json.Real("layer_norm_epsilon", config.NormEpsilon),
            Hidden = json.Integer("n_inner", config.Hidden),
        };
    }

    public override JsonObject Write(TransformerConfig c)
    {
        if (c is not { Norm: Norm.LayerNorm, Mlp: Mlp.Gelu, Position: Position.Learned, QkvBias: true, OtherBias: true } || c.KvHeads != c.Heads)
            throw new ArgumentException("Only a model of GPT-2's kind can be written as one.");
        return new JsonObject
        {
            ["architectures"] = new JsonArray("GPT2LMHeadModel"),
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
        };
    }

    public override TensorPart[] Parts(string name, TransformerConfig c)
    {
        string[] words = name.Split('.');
        if (words.Length == 3) return [BlockPart(TrunkPrefix + $"h.{words[1]}.", words[2], c)];
        return name switch
        {
            "tokens" => [new("transformer.wte.weight", c.Vocab)],
            "positions" => [new("transformer.wpe.weight", c.Context)],
            "final_norm" => [new("transformer.ln_f.weight", c.Width)],
            "final_norm_bias" => [new("transformer.ln_f.bias", c.Width)],
            _ => throw new ArgumentException($"Unknown parameter {name}."),
        };
    }

    /// <summary>The causal masks of the first files. Not to be taken for the bias of the product, <c>attn.c_attn.bias</c>.</summary>
    public override bool IsConstant(string name) =>
        name.EndsWith(".attn.bias", StringComparison.Ordinal) || name.EndsWith(".attn.masked_bias", StringComparison.Ordinal);

    private static TensorPart BlockPart(string block, string kind, TransformerConfig c) => kind switch
    {
        "qkv" => new(block + "attn.c_attn.weight", c.QkvWidth, IsTransposed: true),
        "qkv_bias" => new(block + "attn.c_attn.bias", c.QkvWidth),
        "out" => new(block + "attn.c_proj.weight", c.Width, IsTransposed: true),
        "out_bias" => new(block + "attn.c_proj.bias", c.Width),
        "up" => new(block + "mlp.c_fc.weight", c.Hidden, IsTransposed: true),
        "up_bias" => new(block + "mlp.c_fc.bias", c.Hidden),
        "down" => new(block + "mlp.c_proj.weight", c.Width, IsTransposed: true),
        "down_bias" => new(block + "mlp.c_proj.bias", c.Width),
        "norm1" => new(block + "ln_1.weight", c.Width),
        "norm1_bias" => new(block + "ln_1.bias", c.Width),
        "norm2" => new(block + "ln_2.weight", c.Width),
        "norm2_bias" => new(block + "ln_2.bias", c.Width),
        _ => throw new ArgumentException($"Unknown parameter {block}{kind}."),
    };
}
