using System.Buffers.Binary;
using System.Globalization;
using System.Text;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>A tensor to be written: what it is, and how to get its bytes.</summary>
/// <param name="Name">Its name, unique in the file and not <c>__metadata__</c>.</param>
/// <param name="DType">The element type as the format spells it: F32, BF16, I64, …</param>
/// <param name="Shape">Sizes, slowest first; empty for a single element.</param>
/// <param name="Write">Writes exactly the bytes that type and shape come to, little endian; called once.</param>
public sealed record SafeTensorsSource(string Name, string DType, long[] Shape, Action<Stream> Write)
{
    /// <summary>A tensor from its bytes.</summary>
    public static SafeTensorsSource FromBytes(string name, string dtype, long[] shape, ReadOnlyMemory<byte> bytes) =>
        new(name, dtype, shape, stream => stream.Write(bytes.Span));

    /// <summary>A tensor from floats, stored as F32, F16 or BF16.</summary>
    public static SafeTensorsSource FromFloats(string name, long[] shape, ReadOnlyMemory<float> values, string dtype = "F32") =>
        new(name, dtype, shape, stream => SafeTensorsFloats.Write(stream, values.Span, dtype));
}

/// <summary>
/// Writes safetensors files: whole or not at all, and laid out as the reference library does (widest element types first,
/// then by name; the header filled up with spaces to a multiple of 8). The same tensors give the same bytes.
/// </summary>
public static class SafeTensorsWriter
{
    /// <summary>A tensor and its size.</summary>
    internal readonly record struct Sized(SafeTensorsSource Tensor, long Bytes);

    private const string MetadataName = "__metadata__";
    private static readonly UTF8Encoding _utf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>Writes one file.</summary>
    public static void Write(string path, IEnumerable<SafeTensorsSource> tensors, IReadOnlyDictionary<string, string>? metadata = null) =>
        Write(path, Sorted(tensors), metadata);

    /// <summary>Writes to a stream, from its current position on.</summary>
    public static void Write(Stream stream, IEnumerable<SafeTensorsSource> tensors, IReadOnlyDictionary<string, string>? metadata = null) =>
        Write(stream, Sorted(tensors), metadata);

    /// <summary>The tensors with their sizes, checked, in the order of the file.</summary>
    internal static List<Sized> Sorted(IEnumerable<SafeTensorsSource> tensors)
    {
        List<(SafeTensorsSource Tensor, long Bytes, int Rank, byte[] Name)> all = [];
        HashSet<string> names = [MetadataName];
        foreach (SafeTensorsSource tensor in tensors)
        {
            if (!names.Add(tensor.Name))
                throw new ArgumentException($"The tensor name {SafeTensorsText.Quote(tensor.Name)} is "
                    + $"{(tensor.Name == MetadataName ? "reserved" : "there twice")}.", nameof(tensors));
            if (tensor.Shape.Any(size => size < 0)
                || SafeTensorsTypes.ByteCount(tensor.DType, tensor.Shape) is not { } bytes || bytes > long.MaxValue)
                throw new ArgumentException($"Tensor {SafeTensorsText.Quote(tensor.Name)} cannot be stored: "
                    + $"[{string.Join(", ", tensor.Shape)}] of {tensor.DType}.", nameof(tensors));
            all.Add((tensor, (long)bytes, SafeTensorsTypes.Rank(tensor.DType), _utf8.GetBytes(tensor.Name)));
        }
        // Names by their UTF-8 bytes, as Rust compares strings.
        all.Sort((a, b) => a.Rank != b.Rank ? b.Rank.CompareTo(a.Rank) : a.Name.AsSpan().SequenceCompareTo(b.Name));
        return [.. all.Select(item => new Sized(item.Tensor, item.Bytes))];
    }

    internal static void Write(string path, List<Sized> tensors, IReadOnlyDictionary<string, string>? metadata) =>
        AtomicFile.Write(path, stream => Write(stream, tensors, metadata));

    private static void Write(Stream stream, List<Sized> tensors, IReadOnlyDictionary<string, string>? metadata)
    {
        byte[] header = Header(tensors, metadata);
        Span<byte> length = stackalloc byte[SafeTensorsHeader.LengthBytes];
        BinaryPrimitives.WriteInt64LittleEndian(length, header.Length);
        stream.Write(length);
        stream.Write(header);
        foreach ((SafeTensorsSource tensor, long bytes) in tensors)
        {
            ExactStream exact = new(stream, tensor.Name, bytes);
            tensor.Write(exact);
            exact.Finish();
        }
    }

    private static byte[] Header(List<Sized> tensors, IReadOnlyDictionary<string, string>? metadata)
    {
        StringBuilder json = new("{");
        if (metadata is not null)
        {
            Append(json, MetadataName).Append(":{");
            string comma = "";
            foreach ((string key, string value) in metadata.OrderBy(pair => pair.Key, StringComparer.Ordinal))
            {
                Append(json.Append(comma), key).Append(':');
                Append(json, value);
                comma = ",";
            }
            json.Append('}');
        }
        long offset = 0;
        foreach ((SafeTensorsSource tensor, long bytes) in tensors)
        {
            if (json.Length > 1) json.Append(',');
            Append(json, tensor.Name);
            json.Append(":{\"dtype\":\"").Append(tensor.DType).Append("\",\"shape\":[").AppendJoin(',', tensor.Shape)
                .Append("],\"data_offsets\":[").Append(offset).Append(',').Append(offset + bytes).Append("]}");
            offset = checked(offset + bytes);
        }
        json.Append('}');
        byte[] text = _utf8.GetBytes(json.ToString());
        byte[] header = new byte[(text.Length + 7) / 8 * 8];
        header.AsSpan().Fill((byte)' ');
        text.CopyTo(header, 0);
        if (header.Length > SafeTensorsHeader.MaxBytes)
            throw new UserException($"The names and metadata of {tensors.Count} tensors come to a header of {header.Length} bytes, over "
                + $"the safetensors limit of {SafeTensorsHeader.MaxBytes}: write several files.");
        return header;
    }

    /// <summary>A JSON text, escaped as the reference library's serializer does: only what must be.</summary>
    internal static StringBuilder Append(StringBuilder json, string text)
    {
        json.Append('"');
        foreach (char c in text)
        {
            _ = c switch
            {
                '"' => json.Append("\\\""),
                '\\' => json.Append("\\\\"),
                '\b' => json.Append("\\b"),
                '\t' => json.Append("\\t"),
                '\n' => json.Append("\\n"),
                '\f' => json.Append("\\f"),
                '\r' => json.Append("\\r"),
                < ' ' => json.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}"),
                _ => json.Append(c),
            };
        }
        return json.Append('"');
    }

    /// <summary>Lets through exactly the bytes that a tensor has: one more or one less would move all tensors after it.</summary>
    private sealed class ExactStream(Stream inner, string name, long length) : Stream
    {
        private long _written;

        public override bool CanRead => false;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => length;

        public override long Position { get => _written; set => throw new NotSupportedException(); }

        public void Finish()
        {
            if (_written != length) throw Wrong(_written);
        }

        public override void Write(ReadOnlySpan<byte> buffer)
        {
            if (buffer.Length > length - _written) throw Wrong(_written + buffer.Length);
            inner.Write(buffer);
            _written += buffer.Length;
        }

        public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

        public override void Flush() { }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        private InvalidOperationException Wrong(long bytes) =>
            new($"Tensor {SafeTensorsText.Quote(name)} must be {length} bytes, but its source wrote {bytes} or more.");
    }
}
