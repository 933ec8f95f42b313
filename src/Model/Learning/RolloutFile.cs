using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// One shard of a data set on disk, append-only: a header line, then records of
/// <c>u32 length, u32 crc32c(payload), payload</c>, little-endian. A torn tail (the process died while writing) is cut off
/// when the shard is opened for appending; any other damage is an error that names the record. A token that an environment
/// wrote is stored as its complement, a negative number.
/// </summary>
public sealed class RolloutFile : IDisposable
{
    private const string Magic = "qsharp-rollouts-1\n";
    private const int FixedBytes = 8 + 8 + 4 + 4 + 4 + 4 + 4 + 4;   // see Encode
    private const int LargestRecord = 64 << 20;

    private readonly FileStream _stream;
    private byte[] _buffer = new byte[1024];

    private RolloutFile(FileStream stream, long records, long responseTokens, long droppedBytes)
    {
        _stream = stream;
        Records = records;
        ResponseTokens = responseTokens;
        DroppedBytes = droppedBytes;
    }

    /// <summary>Whole records in the file.</summary>
    public long Records { get; private set; }

    /// <summary>Tokens of all responses when the file was opened.</summary>
    public long ResponseTokens { get; }

    /// <summary>Bytes of a torn tail that opening cut off.</summary>
    public long DroppedBytes { get; }

    /// <summary>Opens a shard for appending, making it if it is not there.</summary>
    /// <exception cref="UserException">The file is damaged before its tail, or cannot be written.</exception>
    public static RolloutFile Append(string path)
    {
        FileStream? stream = null;
        try
        {
            stream = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            if (IsTornHeader(stream))
            {
                stream.SetLength(0);
                stream.Write(System.Text.Encoding.ASCII.GetBytes(Magic));
                return new RolloutFile(stream, 0, 0, 0);
            }
            long records = 0, tokens = 0;
            long end = Scan(stream, path, rollout =>
            {
                records++;
                tokens += rollout.Tokens.Length - rollout.PromptLength;
            });
            long dropped = stream.Length - end;
            stream.SetLength(end);
            stream.Position = end;
            return new RolloutFile(stream, records, tokens, dropped);
        }
        catch (Exception error)
        {
            stream?.Dispose();
            if (error is not (IOException or UnauthorizedAccessException)) throw;
            throw new UserException($"{path}: the data set cannot be written ({error.Message.TrimEnd('.')}); check the disk and the permissions, or choose another --out.", error);
        }
    }

    /// <summary>All whole records of a shard.</summary>
    public static List<Rollout> Read(string path)
    {
        try
        {
            using FileStream stream = File.OpenRead(path);
            List<Rollout> rollouts = [];
            Scan(stream, path, rollouts.Add);
            return rollouts;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UserException($"{path}: the data set cannot be read ({error.Message.TrimEnd('.')}).", error);
        }
    }

    /// <summary>Adds records and flushes them to the operating system.</summary>
    public void Write(ReadOnlySpan<Rollout> rollouts)
    {
        try
        {
            foreach (Rollout rollout in rollouts)
            {
                int length = FixedBytes + 4 * rollout.Tokens.Length;
                if (_buffer.Length < length + 8) _buffer = new byte[2 * (length + 8)];
                Span<byte> payload = _buffer.AsSpan(8, length);
                Encode(rollout, payload);
                BinaryPrimitives.WriteUInt32LittleEndian(_buffer, (uint)length);
                BinaryPrimitives.WriteUInt32LittleEndian(_buffer.AsSpan(4), Checksum(payload));
                _stream.Write(_buffer, 0, length + 8);
            }
            _stream.Flush();
            Records += rollouts.Length;
        }
        catch (IOException error)
        {
            throw new UserException($"{_stream.Name}: the data set cannot be written ({error.Message}); make room and run again with --resume.", error);
        }
    }

    public void Dispose() => _stream.Dispose();

    /// <summary>Whether the file ends within its first line: it is new, or its process died at once.</summary>
    private static bool IsTornHeader(FileStream stream)
    {
        if (stream.Length >= Magic.Length) return false;
        byte[] start = new byte[stream.Length];
        stream.ReadExactly(start);
        return System.Text.Encoding.ASCII.GetBytes(Magic).AsSpan(0, start.Length).SequenceEqual(start);
    }

    /// <summary>Reads records up to the end or a torn tail; returns where the last whole record ends.</summary>
    private static long Scan(FileStream stream, string path, Action<Rollout> record)
    {
        byte[] magic = new byte[Magic.Length];
        stream.Position = 0;
        if (stream.ReadAtLeast(magic, magic.Length, throwOnEndOfStream: false) < magic.Length || !magic.AsSpan().SequenceEqual(System.Text.Encoding.ASCII.GetBytes(Magic)))
            throw new UserException($"{path}: this is not a data set of roll-outs (its first line is not '{Magic.TrimEnd()}').");
        byte[] head = new byte[8];
        byte[] payload = new byte[1024];
        long end = stream.Position;
        for (long number = 0; ; number++)
        {
            if (stream.ReadAtLeast(head, 8, throwOnEndOfStream: false) < 8) return end;
            uint length = BinaryPrimitives.ReadUInt32LittleEndian(head);
            if (length is < FixedBytes or > LargestRecord) throw Damaged(path, number, end);
            int present = (int)Math.Min(length, stream.Length - stream.Position);
            if (payload.Length < present) payload = new byte[2 * present];
            stream.ReadExactly(payload, 0, present);
            Span<byte> body = payload.AsSpan(0, present);
            // A torn record still agrees with itself about its length. One that does not is damaged, and whole records follow it.
            if (present >= FixedBytes && 4L * BinaryPrimitives.ReadInt32LittleEndian(body[36..]) != length - FixedBytes) throw Damaged(path, number, end);
            if (present < length) return end;
            if (Checksum(body) != BinaryPrimitives.ReadUInt32LittleEndian(head.AsSpan(4)))
            {
                if (stream.Position == stream.Length) return end;
                throw Damaged(path, number, end);
            }
            record(Decode(body, path, number, end));
            end = stream.Position;
        }
    }

    private static void Encode(Rollout rollout, Span<byte> payload)
    {
        BinaryPrimitives.WriteInt64LittleEndian(payload, rollout.Problem);
        BinaryPrimitives.WriteInt64LittleEndian(payload[8..], rollout.Sample);
        BinaryPrimitives.WriteInt32LittleEndian(payload[16..], rollout.Round);
        BinaryPrimitives.WriteInt32LittleEndian(payload[20..], rollout.PromptLength);
        BinaryPrimitives.WriteInt32LittleEndian(payload[24..], rollout.Kept);
        BinaryPrimitives.WriteSingleLittleEndian(payload[28..], rollout.Lambda);
        BinaryPrimitives.WriteSingleLittleEndian(payload[32..], rollout.Reward);
        BinaryPrimitives.WriteInt32LittleEndian(payload[36..], rollout.Tokens.Length);
        for (int i = 0; i < rollout.Tokens.Length; i++)
            BinaryPrimitives.WriteInt32LittleEndian(payload[(FixedBytes + 4 * i)..], rollout.Replies?[i] == true ? ~rollout.Tokens[i] : rollout.Tokens[i]);
    }

    private static Rollout Decode(ReadOnlySpan<byte> payload, string path, long number, long offset)
    {
        int promptLength = BinaryPrimitives.ReadInt32LittleEndian(payload[20..]);
        int kept = BinaryPrimitives.ReadInt32LittleEndian(payload[24..]);
        int count = BinaryPrimitives.ReadInt32LittleEndian(payload[36..]);
        if (count < 1 || (long)count * 4 != payload.Length - FixedBytes || promptLength < 1 || promptLength >= count || kept < 0 || kept > count - promptLength)
            throw Damaged(path, number, offset);
        int[] tokens = new int[count];
        bool[]? replies = null;
        for (int i = 0; i < count; i++)
        {
            tokens[i] = BinaryPrimitives.ReadInt32LittleEndian(payload[(FixedBytes + 4 * i)..]);
            if (tokens[i] >= 0) continue;
            tokens[i] = ~tokens[i];
            (replies ??= new bool[count])[i] = true;
        }
        return new Rollout(
            BinaryPrimitives.ReadInt64LittleEndian(payload), BinaryPrimitives.ReadInt64LittleEndian(payload[8..]), BinaryPrimitives.ReadInt32LittleEndian(payload[16..]),
            tokens, promptLength, kept, BinaryPrimitives.ReadSingleLittleEndian(payload[28..]), BinaryPrimitives.ReadSingleLittleEndian(payload[32..]))
        { Replies = replies };
    }

    private static UserException Damaged(string path, long number, long offset) =>
        new($"{path}: record {number} at byte {offset} is damaged; restore the file from a copy, or collect again into another folder.");

    internal static uint Checksum(ReadOnlySpan<byte> bytes)
    {
        uint crc = uint.MaxValue;
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(bytes);
        foreach (ulong word in words) crc = BitOperations.Crc32C(crc, word);
        foreach (byte value in bytes[(8 * words.Length)..]) crc = BitOperations.Crc32C(crc, value);
        return ~crc;
    }
}
