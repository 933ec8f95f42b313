using System.Globalization;
using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>config.json and generation_config.json from a GGUF file's metadata, as the transformers library would write them.</summary>
internal static class GgufConfig
{
    /// <summary>Divisors of the rotary frequencies, which is how llama.cpp keeps the scaling of Llama 3.1.</summary>
    public const string RopeFactors = "rope_freqs.weight";

    private const string Embedding = "token_embd.weight", Output = "output.weight";

    /// <exception cref="UserException">The architecture or a feature of the model is not supported, or a key is missing.</exception>
    public static JsonObject Read(GgufFile file)
    {
        string architecture = file.Text("general.architecture");
        if (file.Has("split.count") && file.Integer("split.count") is var parts and > 1)
            throw new UserException($"{file.Path}: this is one of the {parts} parts of a split file, which is not supported; join them with 'llama-gguf-split --merge'.");
        JsonObject config = architecture switch
        {
            "llama" or "qwen2" or "qwen3" => Llama(file, architecture),
            "gpt2" => Gpt2(file),
            _ => throw new UserException($"{file.Path}: the architecture is '{SafeTensorsText.Clean(architecture)}', which is not supported; these are: llama, qwen2, qwen3, gpt2."),
        };
        config["vocab_size"] = Vocabulary(file);
        config["tie_word_embeddings"] = !file.TryFind(Output, out _);
        config["torch_dtype"] = "bfloat16";
        foreach ((string key, JsonNode? value) in ReadGeneration(file)) config[key] = value?.DeepClone();
        return config;
    }

    /// <summary>The ids that begin, end and fill a text.</summary>
    public static JsonObject ReadGeneration(GgufFile file)
    {
        JsonObject json = [];
        if (Id("bos") is { } begin) json["bos_token_id"] = begin;
        // Chat models end a turn by another token than a text.
        int[] ends = [.. new[] { Id("eos"), Id("eot"), Id("eom") }.OfType<int>().Distinct()];
        if (ends.Length > 0) json["eos_token_id"] = ends.Length == 1 ? ends[0] : new JsonArray([.. ends.Select(id => (JsonNode)id)]);
        if (Id("padding") is { } padding) json["pad_token_id"] = padding;
        return json;

        int? Id(string name) => file.Has($"tokenizer.ggml.{name}_token_id") ? file.Integer($"tokenizer.ggml.{name}_token_id") : null;
    }

    private static JsonObject Llama(GgufFile file, string architecture)
    {
        int Size(string key) => file.Integer($"{architecture}.{key}");
        bool Has(string key) => file.Has($"{architecture}.{key}");
        RefuseFeatures(file, architecture);
        int heads = Size("attention.head_count"), width = Size("embedding_length"), context = Size("context_length");
        if (heads < 1) throw new UserException($"{file.Path}: {architecture}.attention.head_count is {heads}; it must be at least 1.");
        int headSize = Has("attention.key_length") ? Size("attention.key_length") : width / heads;
        if (Has("attention.value_length") && Size("attention.value_length") != headSize)
            throw new UserException($"{file.Path}: keys and values of different sizes ({headSize} and {Size("attention.value_length")}) are not supported.");
        if (Has("rope.dimension_count") && Size("rope.dimension_count") != headSize)
            throw new UserException($"{file.Path}: {architecture}.rope.dimension_count is {Size("rope.dimension_count")}, but rotating a part of each head is not supported.");
        if (headSize < 2 || headSize % 2 != 0)
            throw new UserException($"{file.Path}: a head of {headSize} entries cannot be rotated pair by pair; {architecture}.embedding_length or attention.key_length is wrong.");
        double theta = Has("rope.freq_base") ? Positive(file, $"{architecture}.rope.freq_base") : 10000;
        (string name, bool hasBias) = architecture switch { "qwen2" => ("Qwen2", true), "qwen3" => ("Qwen3", false), _ => ("Llama", false) };
        JsonObject config = new()
        {
            ["architectures"] = new JsonArray($"{name}ForCausalLM"),
            ["model_type"] = architecture,
            ["hidden_act"] = "silu",
            ["num_hidden_layers"] = Size("block_count"),
            ["hidden_size"] = width,
            ["num_attention_heads"] = heads,
            ["num_key_value_heads"] = Has("attention.head_count_kv") ? Size("attention.head_count_kv") : heads,
            ["head_dim"] = headSize,
            ["intermediate_size"] = Size("feed_forward_length"),
            ["max_position_embeddings"] = context,
            ["rms_norm_eps"] = Shortest(Positive(file, $"{architecture}.attention.layer_norm_rms_epsilon")),
            ["rope_theta"] = theta,
            ["rope_scaling"] = RopeScaling(file, headSize, theta),
        };
        if (!hasBias) config["attention_bias"] = file.TryFind("blk.0.attn_q.bias", out _);
        if (architecture == "llama") config["mlp_bias"] = file.TryFind("blk.0.ffn_up.bias", out _);
        return config;
    }

    private static JsonObject Gpt2(GgufFile file) => new()
    {
        ["architectures"] = new JsonArray("GPT2LMHeadModel"),
        ["model_type"] = "gpt2",
        ["activation_function"] = "gelu_new",
        ["n_layer"] = file.Integer("gpt2.block_count"),
        ["n_embd"] = file.Integer("gpt2.embedding_length"),
        ["n_head"] = file.Integer("gpt2.attention.head_count"),
        ["n_inner"] = file.Integer("gpt2.feed_forward_length"),
        ["n_positions"] = file.Integer("gpt2.context_length"),
        ["n_ctx"] = file.Integer("gpt2.context_length"),
        ["layer_norm_epsilon"] = Shortest(Positive(file, "gpt2.attention.layer_norm_epsilon")),
    };

    /// <summary>A file may ask for what would be computed wrongly here.</summary>
    private static void RefuseFeatures(GgufFile file, string architecture)
    {
        string scaling = file.TextOrNull($"{architecture}.rope.scaling.type") ?? "none";
        if (scaling != "none") throw new UserException($"{file.Path}: {architecture}.rope.scaling.type is '{SafeTensorsText.Clean(scaling)}', which is not supported.");
        foreach (string key in (string[])["rope.scale_linear", "rope.scaling.factor"])
            if (file.Has($"{architecture}.{key}") && file.Number($"{architecture}.{key}") is not (0 or 1))
                throw new UserException($"{file.Path}: {architecture}.{key} is in use, and linear scaling of positions is not supported.");
        if (file.Has($"{architecture}.expert_count") && file.Integer($"{architecture}.expert_count") > 0)
            throw new UserException($"{file.Path}: this is a mixture of {file.Integer($"{architecture}.expert_count")} experts, which is not supported.");
        string window = $"{architecture}.attention.sliding_window";
        if (file.Has(window) && file.Integer(window) is var size and > 0 && size < file.Integer($"{architecture}.context_length"))
            throw new UserException($"{file.Path}: a sliding window of {size} tokens is in use, which is not supported; only full attention is.");
        foreach (string key in (string[])["attn_logit_softcapping", "final_logit_softcapping", "attention.scale", "logit_scale", "residual_scale", "embedding_scale"])
            if (file.Has($"{architecture}.{key}"))
                throw new UserException($"{file.Path}: {architecture}.{key} is in use, which is not supported.");
    }

    /// <summary>The parameters of Llama 3.1's formula that give the file's divisors.</summary>
    private static JsonObject? RopeScaling(GgufFile file, int headSize, double theta)
    {
        if (!file.TryFind(RopeFactors, out GgufTensor tensor)) return null;
        if (tensor.Count != headSize / 2 || tensor.Type != "F32")
            throw new UserException($"{file.Path}: {RopeFactors} has {tensor.Count} entries of {tensor.Type}, but {headSize / 2} of F32 belong to a head of {headSize}.");
        float[] divisors = new float[tensor.Count];
        file.CopyTo(tensor, divisors);
        if (divisors.All(divisor => divisor == 1)) return null;
        float factor = divisors.Max();
        float[] plain = RopeFrequencies.Compute(headSize, (float)theta, null);
        for (int context = 32; context <= 1 << 20 && factor > 1; context *= 2)
        {
            RopeScaling scaling = new(factor, 1, 4, context);
            float[] scaled = RopeFrequencies.Compute(headSize, (float)theta, scaling);
            if (!Enumerable.Range(0, divisors.Length).All(i => Math.Abs(plain[i] / scaled[i] / divisors[i] - 1) < 1e-3)) continue;
            return new JsonObject
            {
                ["rope_type"] = "llama3",
                ["factor"] = (double)factor,
                ["low_freq_factor"] = 1.0,
                ["high_freq_factor"] = 4.0,
                ["original_max_position_embeddings"] = context,
            };
        }
        throw new UserException($"{file.Path}: the divisors in {RopeFactors} are not those of Llama 3.1's formula, and other scaling of rotary positions is not supported.");
    }

    private static int Vocabulary(GgufFile file) => file.TryFind(Embedding, out GgufTensor table) && table.Shape.Length == 2 && table.Shape[0] <= int.MaxValue
        ? (int)table.Shape[0]
        : throw new UserException($"{file.Path}: there is no token table '{Embedding}' of two dimensions, so this is no complete model.");

    /// <summary>A number that is above 0 and finite as a float32 too.</summary>
    private static double Positive(GgufFile file, string key)
    {
        double number = file.Number(key);
        return (float)number > 0 && float.IsFinite((float)number)
            ? number
            : throw new UserException($"{file.Path}: {key} is {number.ToString(CultureInfo.InvariantCulture)}, but must be a number above 0.");
    }

    /// <summary>The shortest decimal that gives a float32: 1e-05 and not 9.99999974e-06.</summary>
    private static double Shortest(double value) => double.Parse(((float)value).ToString("R", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);
}
