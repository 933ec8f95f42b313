using System.Runtime.InteropServices;
using System.Text;

using QSharp.Model;

namespace QSharp.Tests.Model;

/// <summary>Makes GGUF files, good ones and, with its switches, bad ones.</summary>
internal sealed class GgufBuilder
{
    private readonly List<(string Key, object Value)> _values = [];
    private readonly List<(string Name, uint Type, long[] Shape, byte[] Data, long Shift)> _tensors = [];

    public uint Version { get; set; } = 3;

    public int Alignment { get; set; } = 32;

    /// <summary>A number of any width, a flag, a text, or a list of these or of lists.</summary>
    public GgufBuilder Set(string key, object value)
    {
        _values.RemoveAll(entry => entry.Key == key);
        return SetAgain(key, value);
    }

    public GgufBuilder SetAgain(string key, object value)
    {
        _values.Add((key, value));
        return this;
    }

    public GgufBuilder Without(string key)
    {
        _values.RemoveAll(entry => entry.Key == key);
        return this;
    }

    /// <param name="shape">Row-major, as the program has it.</param>
    /// <param name="shift">Moves the offset that the file gives.</param>
    public GgufBuilder Tensor(string name, uint type, long[] shape, byte[] data, long shift = 0)
    {
        _tensors.Add((name, type, shape, data, shift));
        return this;
    }

    public GgufBuilder Floats(string name, long[] shape, ReadOnlySpan<float> values) => Tensor(name, 0, shape, MemoryMarshal.AsBytes(values).ToArray());

    /// <summary>F32, small whole numbers that differ.</summary>
    public GgufBuilder Numbered(string name, params long[] shape)
    {
        float[] values = new float[shape.Aggregate(1L, (product, size) => product * size)];
        for (int i = 0; i < values.Length; i++) values[i] = (i * 7 + name.Length) % 251 - 125;
        return Floats(name, shape, values);
    }

    public GgufBuilder WithoutTensor(string name)
    {
        _tensors.RemoveAll(entry => entry.Name == name);
        return this;
    }

    public byte[] Bytes()
    {
        using MemoryStream stream = new();
        using BinaryWriter writer = new(stream);
        writer.Write("GGUF"u8);
        writer.Write(Version);
        writer.Write((ulong)_tensors.Count);
        writer.Write((ulong)_values.Count);
        foreach ((string key, object value) in _values)
        {
            WriteText(writer, key);
            writer.Write(TypeOf(value.GetType()));
            WriteValue(writer, value);
        }
        long offset = 0;
        foreach ((string name, uint type, long[] shape, byte[] data, long shift) in _tensors)
        {
            WriteText(writer, name);
            writer.Write(shape.Length);
            foreach (long size in shape.Reverse()) writer.Write(size);
            writer.Write(type);
            writer.Write(offset + shift);
            offset += (data.Length + Alignment - 1) / Alignment * Alignment;
        }
        foreach ((_, _, _, byte[] data, _) in _tensors)
        {
            Pad(stream);
            writer.Write(data);
        }
        Pad(stream);
        return stream.ToArray();
    }

    /// <summary>Writes the file into a folder and opens it.</summary>
    public GgufFile Open(TemporaryFolder folder) => GgufFile.Open(Save(folder));

    public GgufCheckpoint OpenModel(TemporaryFolder folder) => GgufCheckpoint.Open(Save(folder));

    public string Save(TemporaryFolder folder)
    {
        File.WriteAllBytes(folder["made.gguf"], Bytes());
        return folder["made.gguf"];
    }

    /// <summary>A whole model of one layer, width 8, two heads that share one of keys and values, and a SentencePiece tokenizer.</summary>
    public static GgufBuilder TinyLlama()
    {
        string[] tokens = ["<unk>", "<s>", "</s>", "<0x41>", "▁", "a", "b", "ab", "▁ab", "é"];
        int[] types = [2, 3, 3, 6, 1, 1, 1, 1, 1, 1];
        return Sizes(new GgufBuilder(), "llama", layers: 1, width: 8, heads: 2, kvHeads: 1, hidden: 6, context: 16)
            .Set("llama.attention.layer_norm_rms_epsilon", 1e-5f)
            .Set("tokenizer.ggml.model", "llama").Set("tokenizer.ggml.tokens", tokens).Set("tokenizer.ggml.token_type", types)
            .Set("tokenizer.ggml.scores", (float[])[0, 0, 0, 0, -4, -5, -6, -1, -2, -7])
            .Set("tokenizer.ggml.bos_token_id", 1u).Set("tokenizer.ggml.eos_token_id", 2u).Set("tokenizer.ggml.unknown_token_id", 0u)
            .Numbered("token_embd.weight", tokens.Length, 8).Numbered("output_norm.weight", 8)
            .Numbered("blk.0.attn_norm.weight", 8).Numbered("blk.0.ffn_norm.weight", 8)
            .Numbered("blk.0.attn_q.weight", 8, 8).Numbered("blk.0.attn_k.weight", 4, 8).Numbered("blk.0.attn_v.weight", 4, 8)
            .Numbered("blk.0.attn_output.weight", 8, 8)
            .Numbered("blk.0.ffn_gate.weight", 6, 8).Numbered("blk.0.ffn_up.weight", 6, 8).Numbered("blk.0.ffn_down.weight", 8, 6);
    }

    /// <summary>The keys that all architectures have.</summary>
    public static GgufBuilder Sizes(GgufBuilder file, string architecture, uint layers, uint width, uint heads, uint kvHeads, uint hidden, uint context) => file
        .Set("general.architecture", architecture)
        .Set($"{architecture}.block_count", layers).Set($"{architecture}.embedding_length", width).Set($"{architecture}.context_length", context)
        .Set($"{architecture}.attention.head_count", heads).Set($"{architecture}.attention.head_count_kv", kvHeads)
        .Set($"{architecture}.feed_forward_length", hidden);

    private void Pad(Stream stream)
    {
        while (stream.Position % Alignment != 0) stream.WriteByte(0);
    }

    private static void WriteText(BinaryWriter writer, string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        writer.Write((ulong)bytes.Length);
        writer.Write(bytes);
    }

    private static void WriteValue(BinaryWriter writer, object value)
    {
        switch (value)
        {
            case string text:
                WriteText(writer, text);
                break;
            case Array list:
                writer.Write(TypeOf(value.GetType().GetElementType()!));
                writer.Write((ulong)list.Length);
                foreach (object item in list) WriteValue(writer, item);
                break;
            default:
                byte[] bytes = new byte[Marshal.SizeOf(value is bool ? (byte)0 : value)];
                ulong bits = value switch
                {
                    float number => BitConverter.SingleToUInt32Bits(number),
                    double number => BitConverter.DoubleToUInt64Bits(number),
                    bool flag => flag ? 1UL : 0,
                    ulong number => number,
                    _ => (ulong)Convert.ToInt64(value, null),
                };
                for (int i = 0; i < bytes.Length; i++) bytes[i] = (byte)(bits >> (8 * i));
                writer.Write(bytes);
                break;
        }
    }

    private static uint TypeOf(Type type) => type.IsArray ? 9u : Type.GetTypeCode(type) switch
    {
        TypeCode.Byte => 0,
        TypeCode.SByte => 1,
        TypeCode.UInt16 => 2,
        TypeCode.Int16 => 3,
        TypeCode.UInt32 => 4,
        TypeCode.Int32 => 5,
        TypeCode.Single => 6,
        TypeCode.Boolean => 7,
        TypeCode.String => 8,
        TypeCode.UInt64 => 10,
        TypeCode.Int64 => 11,
        TypeCode.Double => 12,
        _ => throw new ArgumentException($"GGUF has no {type}."),
    };
}
