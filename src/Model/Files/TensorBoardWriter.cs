using System.Buffers.Binary;
using System.Numerics;
using System.Text;

namespace QSharp.Model;

/// <summary>
/// Scalars as a TensorBoard event file: TFRecords (length, masked CRC-32C of it, payload, masked CRC-32C of that) whose
/// payloads are the protobuf message Event {1: wall time, 2: step, 3: file version | 5: summary {1: value {1: tag, 2: number}}}.
/// </summary>
public sealed class TensorBoardWriter : IDisposable
{
    private const uint Mask = 0xA282EAD8;

    private readonly FileStream _stream;

    /// <summary>Makes a new event file in a folder.</summary>
    public TensorBoardWriter(string folder)
    {
        long time = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();
        _stream = new FileStream(Path.Combine(folder, FormattableString.Invariant($"events.out.tfevents.{time}.qsharp")), FileMode.Create, FileAccess.Write, FileShare.Read);
        WriteRecord(Event(0, 3, Encoding.UTF8.GetBytes("brain.Event:2")));
    }

    public void Write(string tag, long step, float value)
    {
        byte[] name = Encoding.UTF8.GetBytes(tag);
        MemoryStream inner = new();
        WriteField(inner, 1, name);
        inner.WriteByte((2 << 3) | 5);
        Span<byte> bits = stackalloc byte[4];
        BinaryPrimitives.WriteSingleLittleEndian(bits, value);
        inner.Write(bits);
        MemoryStream summary = new();
        WriteField(summary, 1, inner.ToArray());
        WriteRecord(Event(step, 5, summary.ToArray()));
    }

    /// <summary>CRC-32C as the TFRecord format masks it.</summary>
    public static uint MaskedChecksum(ReadOnlySpan<byte> bytes)
    {
        uint crc = uint.MaxValue;
        foreach (byte value in bytes) crc = BitOperations.Crc32C(crc, value);
        return BitOperations.RotateRight(~crc, 15) + Mask;
    }

    public void Dispose() => _stream.Dispose();

    private static byte[] Event(long step, int field, byte[] payload)
    {
        MemoryStream stream = new();
        stream.WriteByte((1 << 3) | 1);
        Span<byte> time = stackalloc byte[8];
        BinaryPrimitives.WriteDoubleLittleEndian(time, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds() / 1000.0);
        stream.Write(time);
        stream.WriteByte(2 << 3);
        WriteVarint(stream, (ulong)step);
        WriteField(stream, field, payload);
        return stream.ToArray();
    }

    private static void WriteField(MemoryStream stream, int field, byte[] payload)
    {
        stream.WriteByte((byte)((field << 3) | 2));
        WriteVarint(stream, (ulong)payload.Length);
        stream.Write(payload);
    }

    private static void WriteVarint(MemoryStream stream, ulong value)
    {
        for (; value >= 0x80; value >>= 7) stream.WriteByte((byte)(value | 0x80));
        stream.WriteByte((byte)value);
    }

    private void WriteRecord(byte[] payload)
    {
        Span<byte> head = stackalloc byte[12], tail = stackalloc byte[4];
        BinaryPrimitives.WriteUInt64LittleEndian(head, (ulong)payload.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(head[8..], MaskedChecksum(head[..8]));
        BinaryPrimitives.WriteUInt32LittleEndian(tail, MaskedChecksum(payload));
        _stream.Write(head);
        _stream.Write(payload);
        _stream.Write(tail);
    }
}
