using System.Buffers;
using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;
using System.Text;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>What a file of records holds, and how messages speak of it. A record is some fixed fields, then tokens as <c>i32</c>.</summary>
/// <param name="Header">Its first line, with the line's end.</param>
/// <param name="FixedBytes">Of a record, before its tokens.</param>
/// <param name="CountAt">Where among these the number of tokens stands, an <c>i32</c>.</param>
/// <param name="Name">What is in it: "the data set".</param>
/// <param name="Foreign">What to say of a file with another first line.</param>
/// <param name="Mend">What to do about a damaged one.</param>
internal sealed record RecordFormat(string Header, int FixedBytes, int CountAt, string Name, string Foreign, string Mend)
{
    public byte[] HeaderBytes { get; } = Encoding.ASCII.GetBytes(Header);
}

/// <summary>Takes a record of a file; false: its fields make no sense.</summary>
internal delegate bool RecordTaker(ReadOnlySpan<byte> payload);

/// <summary>
/// An append-only file: a header line, then records of <c>u32 length, u32 crc32c(payload), payload</c>, little-endian. A torn tail
/// (the process died while writing) is cut off when the file is opened for appending; any other damage is an error that names the
/// record.
/// </summary>
internal sealed class RecordFile : IDisposable
{
    private const int LargestRecord = 64 << 20;

    private readonly FileStream _stream;
    private readonly RecordFormat _format;
    private byte[] _buffer = new byte[1024];

    private RecordFile(FileStream stream, RecordFormat format, long droppedBytes)
    {
        _stream = stream;
        _format = format;
        DroppedBytes = droppedBytes;
    }

    /// <summary>Bytes of a torn tail that opening cut off.</summary>
    public long DroppedBytes { get; }

    /// <summary>Opens a file for appending behind its records, making it if it is not there.</summary>
    /// <exception cref="UserException">The file is damaged before its tail, or cannot be written.</exception>
    public static RecordFile Append(string path, RecordFormat format, RecordTaker take)
    {
        FileStream? stream = null;
        try
        {
            stream = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            if (IsTornHeader(stream, format))
            {
                stream.SetLength(0);
                stream.Write(format.HeaderBytes);
                return new RecordFile(stream, format, 0);
            }
            long end = Scan(stream, path, format, take), dropped = stream.Length - end;
            stream.SetLength(end);
            stream.Position = end;
            return new RecordFile(stream, format, dropped);
        }
        catch (Exception error)
        {
            stream?.Dispose();
            if (error is not (IOException or UnauthorizedAccessException)) throw;
            throw new UserException($"{path}: {format.Name} cannot be written ({error.Message.TrimEnd('.')}); check the disk and the permissions, or choose another --out.", error);
        }
    }

    /// <summary>All whole records of a file.</summary>
    public static void Read(string path, RecordFormat format, RecordTaker take)
    {
        try
        {
            using FileStream stream = File.OpenRead(path);
            Scan(stream, path, format, take);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UserException($"{path}: {format.Name} cannot be read ({error.Message.TrimEnd('.')}).", error);
        }
    }

    /// <summary>Adds a record; it is with the operating system after <see cref="Flush"/>.</summary>
    /// <param name="tokens">How many it has.</param>
    /// <param name="encode">Fills the record's bytes.</param>
    public void Write<T>(int tokens, T record, SpanAction<byte, T> encode)
    {
        int length = _format.FixedBytes + 4 * tokens;
        if (_buffer.Length < length + 8) _buffer = new byte[2 * (length + 8)];
        Span<byte> payload = _buffer.AsSpan(8, length);
        encode(payload, record);
        BinaryPrimitives.WriteUInt32LittleEndian(_buffer, (uint)length);
        BinaryPrimitives.WriteUInt32LittleEndian(_buffer.AsSpan(4), Checksum(payload));
        Guarded(() => _stream.Write(_buffer, 0, length + 8));
    }

    public void Flush() => Guarded(_stream.Flush);

    public void Dispose() => _stream.Dispose();

    internal static uint Checksum(ReadOnlySpan<byte> bytes)
    {
        uint crc = uint.MaxValue;
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(bytes);
        foreach (ulong word in words) crc = BitOperations.Crc32C(crc, word);
        foreach (byte value in bytes[(8 * words.Length)..]) crc = BitOperations.Crc32C(crc, value);
        return ~crc;
    }

    private void Guarded(Action write)
    {
        try
        {
            write();
        }
        catch (IOException error)
        {
            throw new UserException($"{_stream.Name}: {_format.Name} cannot be written ({error.Message}); make room and run again with --resume.", error);
        }
    }

    /// <summary>Whether the file ends within its first line: it is new, or its process died at once.</summary>
    private static bool IsTornHeader(FileStream stream, RecordFormat format)
    {
        if (stream.Length >= format.HeaderBytes.Length) return false;
        byte[] start = new byte[stream.Length];
        stream.ReadExactly(start);
        return format.HeaderBytes.AsSpan(0, start.Length).SequenceEqual(start);
    }

    /// <summary>Reads records up to the end or a torn tail; returns where the last whole record ends.</summary>
    private static long Scan(FileStream stream, string path, RecordFormat format, RecordTaker take)
    {
        byte[] header = new byte[format.HeaderBytes.Length];
        stream.Position = 0;
        if (stream.ReadAtLeast(header, header.Length, throwOnEndOfStream: false) < header.Length || !header.AsSpan().SequenceEqual(format.HeaderBytes))
            throw new UserException($"{path}: {format.Foreign}.");
        byte[] head = new byte[8];
        byte[] payload = new byte[1024];
        long end = stream.Position;
        for (long number = 0; ; number++)
        {
            if (stream.ReadAtLeast(head, 8, throwOnEndOfStream: false) < 8) return end;
            uint length = BinaryPrimitives.ReadUInt32LittleEndian(head);
            if (length < format.FixedBytes || length > LargestRecord) throw Damaged();
            int present = (int)Math.Min(length, stream.Length - stream.Position);
            if (payload.Length < present) payload = new byte[2 * present];
            stream.ReadExactly(payload, 0, present);
            Span<byte> body = payload.AsSpan(0, present);
            // A torn record still agrees with itself about its length. One that does not is damaged, and whole records follow it.
            if (present >= format.FixedBytes && 4L * BinaryPrimitives.ReadInt32LittleEndian(body[format.CountAt..]) != length - format.FixedBytes) throw Damaged();
            if (present < length) return end;
            if (Checksum(body) != BinaryPrimitives.ReadUInt32LittleEndian(head.AsSpan(4)))
            {
                if (stream.Position == stream.Length) return end;
                throw Damaged();
            }
            if (!take(body)) throw Damaged();
            end = stream.Position;

            UserException Damaged() => new($"{path}: record {number} at byte {end} is damaged; {format.Mend}.");
        }
    }
}
