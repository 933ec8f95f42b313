using System.Text.Json.Nodes;

using QSharp.Model;

namespace QSharp.Tests.Model;

/// <summary>
/// A Hugging Face folder as the GGUF file that llama.cpp's converter makes of it: its names, its order of the rows that are
/// rotated, its metadata. Written the other way round than the program reads, so that each checks the other.
/// </summary>
internal static class GgufFromFolder
{
    /// <param name="pre">How the tokenizer cuts a text, or null to leave the tokenizer out.</param>
    public static GgufBuilder Make(string folder, string architecture, string? pre)
    {
        using SafeTensorsFolder source = SafeTensorsFolder.Open(folder);
        JsonObject config = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "config.json")))!.AsObject();
        GgufBuilder file = new();
        if (architecture == "gpt2") Gpt2(file, config);
        else Llama(file, config, architecture);
        foreach (SafeTensorsEntry entry in source.Entries)
        {
            float[] values = new float[entry.Count];
            source.CopyTo(entry, values);
            long[] shape = [.. entry.Shape];
            string name = Name(entry.Name);
            if (architecture == "llama" && name.Contains("attn_q.", StringComparison.Ordinal)) values = Interleaved(values, (int)config["num_attention_heads"]!, shape[0]);
            if (architecture == "llama" && name.Contains("attn_k.", StringComparison.Ordinal)) values = Interleaved(values, (int)config["num_key_value_heads"]!, shape[0]);
            if (entry.Name.EndsWith(".weight", StringComparison.Ordinal) && (entry.Name.Contains(".c_", StringComparison.Ordinal)))
            {
                values = [.. Enumerable.Range(0, values.Length).Select(i => values[i % (int)shape[0] * (int)shape[1] + i / (int)shape[0]])];
                shape = [shape[1], shape[0]];
            }
            // Matrices as BF16, which is exact for all folders but GPT-2's.
            bool isMatrix = shape.Length > 1 && architecture != "gpt2";
            if (isMatrix) file.Tensor(name, 30, shape, [.. values.SelectMany(value => BitConverter.GetBytes((ushort)(BitConverter.SingleToUInt32Bits(value) >> 16)))]);
            else file.Floats(name, shape, values);
        }
        if (pre is not null) Tokens(file, folder, (int)config["vocab_size"]!, pre);
        return file;
    }

    private static void Llama(GgufBuilder file, JsonObject config, string architecture)
    {
        JsonObject? rope = config["rope_parameters"]?.AsObject();
        uint heads = (uint)config["num_attention_heads"]!, width = (uint)config["hidden_size"]!, headSize = (uint?)config["head_dim"] ?? width / heads;
        float theta = (float)(rope ?? config)["rope_theta"]!;
        GgufBuilder.Sizes(
            file, architecture, (uint)config["num_hidden_layers"]!, width, heads, (uint)config["num_key_value_heads"]!, (uint)config["intermediate_size"]!,
            (uint)config["max_position_embeddings"]!)
            .Set($"{architecture}.attention.layer_norm_rms_epsilon", (float)config["rms_norm_eps"]!).Set($"{architecture}.rope.freq_base", theta);
        if (headSize != width / heads)
            file.Set($"{architecture}.attention.key_length", headSize).Set($"{architecture}.attention.value_length", headSize);
        if (architecture == "llama") file.Set("llama.rope.dimension_count", headSize);
        if (config["rope_scaling"] is JsonObject scaling) file.Floats("rope_freqs.weight", [headSize / 2], Divisors(scaling, theta, (int)headSize));
    }

    private static void Gpt2(GgufBuilder file, JsonObject config) =>
        GgufBuilder.Sizes(
            file, "gpt2", (uint)config["n_layer"]!, (uint)config["n_embd"]!, (uint)config["n_head"]!, (uint)config["n_head"]!, 4 * (uint)config["n_embd"]!, (uint)config["n_positions"]!)
            .Set("gpt2.attention.layer_norm_epsilon", (float)config["layer_norm_epsilon"]!);

    /// <summary>By which the frequencies of Llama 3.1 are divided, in the words of its definition.</summary>
    public static float[] Divisors(JsonObject scaling, double theta, int headSize)
    {
        double factor = (double)scaling["factor"]!, low = (double)scaling["low_freq_factor"]!, high = (double)scaling["high_freq_factor"]!;
        double context = (double)scaling["original_max_position_embeddings"]!;
        float[] divisors = new float[headSize / 2];
        for (int i = 0; i < divisors.Length; i++)
        {
            double wavelength = 2 * Math.PI * Math.Pow(theta, 2.0 * i / headSize);
            double smooth = (context / wavelength - low) / (high - low);
            divisors[i] = (float)(wavelength < context / high ? 1 : wavelength > context / low ? factor : 1 / ((1 - smooth) / factor + smooth));
        }
        return divisors;
    }

    private static string Name(string name)
    {
        (string From, string To)[] words =
        [
            ("model.layers.", "blk."), ("transformer.h.", "blk."), ("self_attn.q_proj", "attn_q"), ("self_attn.k_proj", "attn_k"), ("self_attn.v_proj", "attn_v"),
            ("self_attn.o_proj", "attn_output"), ("self_attn.q_norm", "attn_q_norm"), ("self_attn.k_norm", "attn_k_norm"), ("input_layernorm", "attn_norm"),
            ("post_attention_layernorm", "ffn_norm"), ("mlp.gate_proj", "ffn_gate"), ("mlp.up_proj", "ffn_up"), ("mlp.down_proj", "ffn_down"),
            ("model.embed_tokens", "token_embd"), ("model.norm", "output_norm"), ("lm_head", "output"),
            ("attn.c_attn", "attn_qkv"), ("attn.c_proj", "attn_output"), ("mlp.c_fc", "ffn_up"), ("mlp.c_proj", "ffn_down"), ("ln_1", "attn_norm"), ("ln_2", "ffn_norm"),
            ("transformer.wte", "token_embd"), ("transformer.wpe", "position_embd"), ("transformer.ln_f", "output_norm"),
        ];
        return words.Aggregate(name, (text, word) => text.Replace(word.From, word.To, StringComparison.Ordinal));
    }

    /// <summary>reshape(heads, 2, D/2, columns), the middle two exchanged.</summary>
    private static float[] Interleaved(float[] values, int heads, long rows)
    {
        int columns = values.Length / (int)rows, half = (int)rows / heads / 2;
        List<float> moved = [];
        for (int head = 0; head < heads; head++)
            for (int i = 0; i < half; i++)
                for (int side = 0; side < 2; side++)
                    moved.AddRange(values.AsSpan(((head * 2 + side) * half + i) * columns, columns));
        return [.. moved];
    }

    /// <summary>Of a byte-level tokenizer.</summary>
    private static void Tokens(GgufBuilder file, string folder, int rows, string pre)
    {
        JsonObject document = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "tokenizer.json")))!.AsObject();
        string?[] tokens = new string?[rows];
        int[] types = new int[rows];
        foreach ((string token, JsonNode? id) in document["model"]!["vocab"]!.AsObject()) (tokens[(int)id!], types[(int)id!]) = (token, 1);
        foreach (JsonNode? added in document["added_tokens"]!.AsArray())
            (tokens[(int)added!["id"]!], types[(int)added["id"]!]) = ((string)added["content"]!, (bool)added["special"]! ? 3 : 4);
        for (int id = 0; id < rows; id++) if (tokens[id] is null) (tokens[id], types[id]) = ($"[PAD{id}]", 5);
        string[] merges = [.. document["model"]!["merges"]!.AsArray().Select(merge => merge is JsonArray pair ? $"{pair[0]} {pair[1]}" : (string)merge!)];
        file.Set("tokenizer.ggml.model", "gpt2").Set("tokenizer.ggml.pre", pre).Set("tokenizer.ggml.tokens", tokens.OfType<string>().ToArray())
            .Set("tokenizer.ggml.token_type", types).Set("tokenizer.ggml.merges", merges);
        if (document["post_processor"]?.ToJsonString() is { } processor && processor.Contains("TemplateProcessing", StringComparison.Ordinal))
            file.Set("tokenizer.ggml.bos_token_id", (uint)document["added_tokens"]![0]!["id"]!).Set("tokenizer.ggml.add_bos_token", true);
    }
}
