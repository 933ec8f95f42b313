using System.Text;

namespace QSharp.Tests.Model;

/// <summary>Writes small GGUF files, right ones and wrong ones.</summary>
internal sealed class GgufBuilder
{
    private readonly List<byte[]> _values = [];
    private readonly List<(string Name, uint Type, long[] Shape, byte[] Data)> _tensors = [];

    public GgufBuilder Text(string key, string value) => Value(key, 8, writer => Write(writer, value));

    public GgufBuilder Integer(string key, uint value) => Value(key, 4, writer => writer.Write(value));

    public GgufBuilder Real(string key, float value) => Value(key, 6, writer => writer.Write(value));

    public GgufBuilder Flag(string key, bool value) => Value(key, 7, writer => writer.Write(value));

    public GgufBuilder Texts(string key, params string[] values) => Value(key, 9, writer =>
    {
        writer.Write(8u);
        writer.Write((ulong)values.Length);
        foreach (string value in values) Write(writer, value);
    });

    public GgufBuilder Reals(string key, params float[] values) => Value(key, 9, writer =>
    {
        writer.Write(6u);
        writer.Write((ulong)values.Length);
        foreach (float value in values) writer.Write(value);
    });

    public GgufBuilder Integers(string key, params int[] values) => Value(key, 9, writer =>
    {
        writer.Write(5u);
        writer.Write((ulong)values.Length);
        foreach (int value in values) writer.Write(value);
    });

    /// <param name="shape">Row-major, as our code has it.</param>
    public GgufBuilder Tensor(string name, uint type, long[] shape, byte[] data)
    {
        _tensors.Add((name, type, shape, data));
        return this;
    }

    public GgufBuilder Floats(string name, long[] shape, params float[] values) =>
        Tensor(name, 0, shape, System.Runtime.InteropServices.MemoryMarshal.AsBytes<float>(values).ToArray());

    public byte[] Build()
    {
        MemoryStream stream = new();
        using BinaryWriter writer = new(stream);
        writer.Write("GGUF"u8);
        writer.Write(3u);
        writer.Write((ulong)_tensors.Count);
        writer.Write((ulong)_values.Count);
        foreach (byte[] value in _values) writer.Write(value);
        ulong offset = 0;
        foreach ((string name, uint type, long[] shape, byte[] data) in _tensors)
        {
            Write(writer, name);
            writer.Write((uint)shape.Length);
            foreach (long size in shape.Reverse()) writer.Write(size);
            writer.Write(type);
            writer.Write(offset);
            offset += (ulong)(data.Length + 31) / 32 * 32;
        }
        foreach ((_, _, _, byte[] data) in _tensors)
        {
            while (stream.Position % 32 != 0) writer.Write((byte)0);
            writer.Write(data);
        }
        writer.Flush();
        return stream.ToArray();
    }

    private GgufBuilder Value(string key, uint type, Action<BinaryWriter> write)
    {
        MemoryStream stream = new();
        using BinaryWriter writer = new(stream);
        Write(writer, key);
        writer.Write(type);
        write(writer);
        writer.Flush();
        _values.Add(stream.ToArray());
        return this;
    }

    private static void Write(BinaryWriter writer, string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        writer.Write((ulong)bytes.Length);
        writer.Write(bytes);
    }
}
