using System.Runtime.InteropServices;
using System.Text;

using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

namespace QSharp.Bench;

/// <summary>
/// A language model as a GGUF file of version 3 (llama.cpp's format) without a vocabulary, for a peer that is fed token ids.
/// Names and layouts are those of llama.cpp's convert_hf_to_gguf.py.
/// </summary>
internal static class GgufWriter
{
    private const uint UInt32Type = 4, Float32Type = 6, StringType = 8;   // of metadata
    private const uint Float32Tensor = 0, BFloat16Tensor = 30;
    private const int Alignment = 32;

    /// <summary>Writes matrices as they lie in memory, and vectors as F32.</summary>
    /// <exception cref="UserException">The peer has no architecture for such a model.</exception>
    public static void Write(string path, LanguageModel model)
    {
        string architecture = Architecture(model.Config);
        (Tensor divisors, DeviceBuffer memory) = Arena.Build(model.Ops.Device, arena => arena.Take(Math.Max(model.Config.HeadDim / 2, 1)));
        using DeviceBuffer held = memory;
        List<Part> parts = [.. Parts(model, architecture, divisors)];
        List<(string Key, object Value)> metadata = [.. Metadata(model.Config, architecture)];
        using BinaryWriter writer = new(new FileStream(path, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1 << 20));
        writer.Write("GGUF"u8);
        writer.Write(3u);
        writer.Write((ulong)parts.Count);
        writer.Write((ulong)metadata.Count);
        foreach ((string key, object value) in metadata)
        {
            WriteText(writer, key);
            WriteValue(writer, value);
        }
        long offset = 0;
        foreach (Part part in parts)
        {
            WriteText(writer, part.Name);
            int rank = part.Value.Shape.Rank;
            writer.Write((uint)rank);
            for (int i = rank - 1; i >= 0; i--) writer.Write((ulong)part.Value.Shape[i]);   // the contiguous dimension first
            writer.Write(part.Value.DType == DType.BF16 ? BFloat16Tensor : Float32Tensor);
            writer.Write((ulong)offset);
            offset = Aligned(offset + part.Value.Bytes);
        }
        foreach (Part part in parts)
        {
            WritePadding(writer);
            WriteRows(writer, part);
        }
    }

    private static string Architecture(TransformerConfig config) => config switch
    {
        { Norm: Norm.LayerNorm } => "gpt2",
        { QkNorm: true, RopeScaling: null } => "qwen3",
        { QkNorm: true } => throw new UserException("The peer reads no scaling of rotary positions for a model of Qwen3's kind."),
        _ => "llama",
    };

    private static IEnumerable<(string Key, object Value)> Metadata(TransformerConfig c, string architecture)
    {
        yield return ("general.architecture", architecture);
        yield return ("tokenizer.ggml.model", "no_vocab");
        yield return ($"{architecture}.vocab_size", (uint)c.Vocab);
        yield return ($"{architecture}.context_length", (uint)c.Context);
        yield return ($"{architecture}.embedding_length", (uint)c.Width);
        yield return ($"{architecture}.block_count", (uint)c.Layers);
        yield return ($"{architecture}.feed_forward_length", (uint)c.Hidden);
        yield return ($"{architecture}.attention.head_count", (uint)c.Heads);
        yield return ($"{architecture}.attention.head_count_kv", (uint)c.KvHeads);
        string norm = c.Norm == Norm.LayerNorm ? "layer_norm_epsilon" : "layer_norm_rms_epsilon";
        yield return ($"{architecture}.attention.{norm}", c.NormEpsilon);
        if (c.Position != Position.Rope) yield break;
        yield return ($"{architecture}.attention.key_length", (uint)c.HeadDim);
        yield return ($"{architecture}.attention.value_length", (uint)c.HeadDim);
        yield return ($"{architecture}.rope.dimension_count", (uint)c.HeadDim);
        yield return ($"{architecture}.rope.freq_base", c.RopeTheta);
    }

    private static IEnumerable<Part> Parts(LanguageModel model, string architecture, Tensor divisors)
    {
        TransformerConfig c = model.Config;
        // llama.cpp turns neighbouring entries of a head by one angle where the architecture is llama.
        int paired = architecture == "llama" ? c.HeadDim : 0;
        int queries = c.Heads * c.HeadDim, keys = c.KvHeads * c.HeadDim;
        foreach ((string name, Tensor value, _) in model.Weights.Named)
        {
            string[] words = name.Split('.');
            string block = words.Length == 3 ? $"blk.{words[1]}." : "";
            string kind = words[^1].Replace("_bias", "", StringComparison.Ordinal);
            string suffix = kind == words[^1] ? ".weight" : ".bias";
            if (kind == "qkv" && architecture != "gpt2")
            {
                yield return new(block + "attn_q" + suffix, value.Range(0, queries), paired);
                yield return new(block + "attn_k" + suffix, value.Range(queries, keys), paired);
                yield return new(block + "attn_v" + suffix, value.Range(queries + keys, keys));
            }
            else if (kind == "up" && c.Mlp == Mlp.SwiGlu)
            {
                yield return new(block + "ffn_gate" + suffix, value.Range(0, c.Hidden));
                yield return new(block + "ffn_up" + suffix, value.Range(c.Hidden, c.Hidden));
            }
            else
            {
                yield return new(block + Name(kind) + suffix, value);
            }
        }
        if (c.RopeScaling is null) yield break;
        float[] plain = RopeFrequencies.Compute(c.HeadDim, c.RopeTheta, null), scaled = RopeFrequencies.Compute(c.HeadDim, c.RopeTheta, c.RopeScaling);
        for (int i = 0; i < plain.Length; i++) divisors.Span<float>()[i] = plain[i] / scaled[i];
        yield return new("rope_freqs.weight", divisors);
    }

    private static string Name(string kind) => kind switch
    {
        "tokens" => "token_embd",
        "positions" => "position_embd",
        "head" => "output",
        "final_norm" => "output_norm",
        "norm1" => "attn_norm",
        "norm2" => "ffn_norm",
        "qkv" => "attn_qkv",
        "query_norm" => "attn_q_norm",
        "key_norm" => "attn_k_norm",
        "out" => "attn_output",
        "up" => "ffn_up",
        "down" => "ffn_down",
        _ => throw new ArgumentException($"Unknown parameter {kind}."),
    };

    private static void WriteRows(BinaryWriter writer, Part part)
    {
        Tensor value = part.Value.Shape.Rank == 1 ? part.Value.As((part.Value.Shape.D0, 1)) : part.Value;
        for (int row = 0; row < value.Shape.D0; row++)
        {
            Tensor source = value.Slice(SourceRow(row, part.Paired));
            writer.Write(source.DType == DType.BF16 ? MemoryMarshal.AsBytes(source.Span<ushort>()) : MemoryMarshal.AsBytes(source.Span<float>()));
        }
    }

    /// <summary>The row that comes as number <paramref name="row"/>: 0, D/2, 1, D/2 + 1, … of each head where pairs are neighbours.</summary>
    private static int SourceRow(int row, int paired)
    {
        if (paired == 0) return row;
        int within = row % paired;
        return row - within + within % 2 * (paired / 2) + within / 2;
    }

    private static void WriteValue(BinaryWriter writer, object value)
    {
        switch (value)
        {
            case uint number:
                writer.Write(UInt32Type);
                writer.Write(number);
                break;
            case float number:
                writer.Write(Float32Type);
                writer.Write(number);
                break;
            default:
                writer.Write(StringType);
                WriteText(writer, (string)value);
                break;
        }
    }

    private static void WriteText(BinaryWriter writer, string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        writer.Write((ulong)bytes.Length);
        writer.Write(bytes);
    }

    private static void WritePadding(BinaryWriter writer)
    {
        writer.Flush();
        long position = writer.BaseStream.Position;
        for (long i = position; i < Aligned(position); i++) writer.Write((byte)0);
    }

    private static long Aligned(long offset) => (offset + Alignment - 1) / Alignment * Alignment;

    /// <summary>One tensor of the file.</summary>
    /// <param name="Paired">D where the rows of each head are to be reordered into neighbouring pairs, else 0.</param>
    private readonly record struct Part(string Name, Tensor Value, int Paired = 0);
}
