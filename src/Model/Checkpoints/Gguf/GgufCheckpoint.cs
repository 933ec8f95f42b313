using System.Text.Json.Nodes;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// A GGUF file seen as the Hugging Face folder that it stands for: the same config, tokenizer and tensors, under the names
/// and in the layouts of the transformers library, so that one loader reads both.
/// </summary>
public sealed class GgufCheckpoint : ITensorSource, IDisposable
{
    private readonly GgufFile _file;
    private readonly Dictionary<string, GgufTensorMap> _maps;

    private GgufCheckpoint(GgufFile file)
    {
        _file = file;
        Config = GgufConfig.Read(file);
        _maps = GgufTensorMap.All(file, Config).ToDictionary(map => map.Name);
        Tensors = [.. _maps.Values.Select(map => new TensorEntry(map.Name, map.Source.Type, map.Shape, map.Source.ByteCount))];
    }

    public string Path => _file.Path;

    /// <summary>config.json.</summary>
    public JsonObject Config { get; }

    /// <summary>generation_config.json: the special ids.</summary>
    public JsonObject GenerationConfig => GgufConfig.ReadGeneration(_file);

    /// <summary>tokenizer.json.</summary>
    public JsonObject TokenizerJson => GgufTokenizer.Document(_file);

    /// <summary>tokenizer_config.json, the chat template included.</summary>
    public JsonObject TokenizerConfig => GgufTokenizer.Config(_file);

    public string? ChatTemplate => _file.TextOrNull("tokenizer.chat_template");

    public IReadOnlyList<TensorEntry> Tensors { get; }

    /// <exception cref="UserException">The file is malformed, or of a model that is not supported.</exception>
    public static GgufCheckpoint Open(string path)
    {
        GgufFile file = GgufFile.Open(path);
        try
        {
            return new GgufCheckpoint(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    public void CopyTo(string name, Span<float> destination) => CopyTo(name, 0, destination);

    public void CopyTo(string name, long first, Span<float> destination) => _maps[name].CopyTo(_file, first, destination);

    /// <summary>Says before long work whether all values can be read.</summary>
    /// <exception cref="UserException">A tensor is of a type that cannot be read.</exception>
    public void RequireReadable()
    {
        foreach (GgufTensorMap map in _maps.Values) _file.RequireReadable(map.Source);
    }

    public void Dispose() => _file.Dispose();
}

/// <summary>How a tensor of the file becomes one of a Hugging Face folder.</summary>
/// <param name="Name">There.</param>
/// <param name="Shape">There.</param>
/// <param name="Source">In the file.</param>
/// <param name="RotaryHeads">
/// Heads of a query or key product whose rows the file keeps in pairs that rotate together, (0, D/2), (1, D/2 + 1), …; 0 elsewhere.
/// </param>
/// <param name="IsTransposed">Stored [in, out] in a folder, as GPT-2's products are.</param>
internal sealed record GgufTensorMap(string Name, long[] Shape, GgufTensor Source, int RotaryHeads, bool IsTransposed)
{
    private static readonly Dictionary<string, string> _llama = new()
    {
        ["attn_q"] = "self_attn.q_proj",
        ["attn_k"] = "self_attn.k_proj",
        ["attn_v"] = "self_attn.v_proj",
        ["attn_output"] = "self_attn.o_proj",
        ["attn_q_norm"] = "self_attn.q_norm",
        ["attn_k_norm"] = "self_attn.k_norm",
        ["attn_norm"] = "input_layernorm",
        ["ffn_norm"] = "post_attention_layernorm",
        ["ffn_gate"] = "mlp.gate_proj",
        ["ffn_up"] = "mlp.up_proj",
        ["ffn_down"] = "mlp.down_proj",
        ["token_embd"] = "model.embed_tokens",
        ["output_norm"] = "model.norm",
        ["output"] = "lm_head",
    };

    private static readonly Dictionary<string, string> _gpt2 = new()
    {
        ["attn_qkv"] = "attn.c_attn",
        ["attn_output"] = "attn.c_proj",
        ["ffn_up"] = "mlp.c_fc",
        ["ffn_down"] = "mlp.c_proj",
        ["attn_norm"] = "ln_1",
        ["ffn_norm"] = "ln_2",
        ["token_embd"] = "transformer.wte",
        ["position_embd"] = "transformer.wpe",
        ["output_norm"] = "transformer.ln_f",
        ["output"] = "lm_head",
    };

    /// <exception cref="UserException">A tensor has a name that the architecture does not know.</exception>
    public static IEnumerable<GgufTensorMap> All(GgufFile file, JsonObject config)
    {
        string architecture = file.Text("general.architecture");
        bool isGpt2 = architecture == "gpt2";
        foreach (GgufTensor tensor in file.Tensors)
        {
            if (tensor.Name == GgufConfig.RopeFactors) continue;   // said in the config
            string[] words = tensor.Name.Split('.');
            bool isBlock = words.Length == 4 && words[0] == "blk";
            string kind = isBlock ? words[2] : words[0];
            if ((!isBlock && words.Length != 2) || words[^1] is not ("weight" or "bias") || !(isGpt2 ? _gpt2 : _llama).TryGetValue(kind, out string? name))
                throw new UserException($"{file.Path}: the tensor '{SafeTensorsText.Clean(tensor.Name)}' belongs to no part of a model of the architecture {architecture} that is supported.");
            string prefix = !isBlock ? "" : isGpt2 ? $"transformer.h.{words[1]}." : $"model.layers.{words[1]}.";
            // Only files of the architecture llama have them so; the others are rotated as a folder's.
            int rotary = architecture != "llama" ? 0 : kind switch
            {
                "attn_q" => (int)config["num_attention_heads"]!,
                "attn_k" => (int)config["num_key_value_heads"]!,
                _ => 0,
            };
            long rows = tensor.Shape.Length == 1 ? tensor.Count : tensor.Count / tensor.Shape[^1];
            if (rotary > 0 && rows % (2L * rotary) != 0)
                throw new UserException($"{file.Path}: the tensor '{SafeTensorsText.Clean(tensor.Name)}' has {rows} rows, which is no even number for each of {rotary} heads; the file was written wrongly.");
            bool isTransposed = isGpt2 && words[^1] == "weight" && tensor.Shape.Length == 2 && kind is "attn_qkv" or "attn_output" or "ffn_up" or "ffn_down";
            long[] shape = isTransposed ? [tensor.Shape[1], tensor.Shape[0]] : tensor.Shape;
            yield return new GgufTensorMap($"{prefix}{name}.{words[^1]}", shape, tensor, rotary, isTransposed);
        }
    }

    /// <summary>Whole rows of the folder's tensor.</summary>
    public void CopyTo(GgufFile file, long first, Span<float> destination)
    {
        if (RotaryHeads > 0) CopyRotary(file, first, destination);
        else if (IsTransposed) CopyTransposed(file, first, destination);
        else file.CopyTo(Source, first / RowLength, destination);
    }

    /// <summary>Of the file's tensor; a vector is one row.</summary>
    private long RowLength => Source.Shape[^1];

    /// <summary>Row 2i + h of a head in the file is row h·D/2 + i of a folder.</summary>
    private void CopyRotary(GgufFile file, long first, Span<float> destination)
    {
        bool isVector = Source.Shape.Length == 1;
        int columns = isVector ? 1 : (int)RowLength, half = (int)(Source.Count / columns / RotaryHeads / 2);
        float[] vector = new float[isVector ? Source.Count : 0];
        if (isVector) file.CopyTo(Source, vector);
        for (int i = 0; i < destination.Length / columns; i++)
        {
            long row = first / columns + i, head = row / (2 * half), within = row % (2 * half);
            long from = head * 2 * half + 2 * (within % half) + within / half;
            if (isVector) destination[i] = vector[from];
            else file.CopyTo(Source, from, destination.Slice(i * columns, columns));
        }
    }

    private void CopyTransposed(GgufFile file, long first, Span<float> destination)
    {
        long rows = Source.Shape[0];
        float[] stored = GC.AllocateUninitializedArray<float>(checked((int)Source.Count));
        file.CopyTo(Source, stored);
        for (int i = 0; i < destination.Length; i++) destination[i] = stored[(first + i) % rows * RowLength + (first + i) / rows];
    }
}
