using System.Buffers.Binary;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// One shard of a data set on disk, append-only (<see cref="RecordFile"/>). A torn tail (the process died while writing) is cut off
/// when the shard is opened for appending; any other damage is an error that names the record. A token that an environment
/// wrote is stored as its complement, a negative number.
/// </summary>
public sealed class RolloutFile : IDisposable
{
    private const int FixedBytes = 8 + 8 + 4 + 4 + 4 + 4 + 4 + 4, CountAt = 36;   // see Encode

    private static readonly RecordFormat _format = new(
        "qsharp-rollouts-1\n", FixedBytes, CountAt, "the data set", "this is not a data set of roll-outs (its first line is not 'qsharp-rollouts-1')",
        "restore the file from a copy, or collect again into another folder");

    private readonly RecordFile _file;

    private RolloutFile(RecordFile file, long records, long responseTokens)
    {
        _file = file;
        Records = records;
        ResponseTokens = responseTokens;
    }

    /// <summary>Whole records in the file.</summary>
    public long Records { get; private set; }

    /// <summary>Tokens of all responses when the file was opened.</summary>
    public long ResponseTokens { get; }

    /// <summary>Bytes of a torn tail that opening cut off.</summary>
    public long DroppedBytes => _file.DroppedBytes;

    /// <summary>Opens a shard for appending, making it if it is not there.</summary>
    /// <exception cref="UserException">The file is damaged before its tail, or cannot be written.</exception>
    public static RolloutFile Append(string path)
    {
        long records = 0, tokens = 0;
        RecordFile file = RecordFile.Append(path, _format, payload =>
        {
            if (Decode(payload) is not { } rollout) return false;
            records++;
            tokens += rollout.Tokens.Length - rollout.PromptLength;
            return true;
        });
        return new RolloutFile(file, records, tokens);
    }

    /// <summary>All whole records of a shard.</summary>
    public static List<Rollout> Read(string path)
    {
        List<Rollout> rollouts = [];
        RecordFile.Read(path, _format, payload =>
        {
            if (Decode(payload) is not { } rollout) return false;
            rollouts.Add(rollout);
            return true;
        });
        return rollouts;
    }

    /// <summary>Adds records and flushes them to the operating system.</summary>
    public void Write(ReadOnlySpan<Rollout> rollouts)
    {
        foreach (Rollout rollout in rollouts) _file.Write(rollout.Tokens.Length, rollout, Encode);
        _file.Flush();
        Records += rollouts.Length;
    }

    public void Dispose() => _file.Dispose();

    private static void Encode(Span<byte> payload, Rollout rollout)
    {
        BinaryPrimitives.WriteInt64LittleEndian(payload, rollout.Problem);
        BinaryPrimitives.WriteInt64LittleEndian(payload[8..], rollout.Sample);
        BinaryPrimitives.WriteInt32LittleEndian(payload[16..], rollout.Round);
        BinaryPrimitives.WriteInt32LittleEndian(payload[20..], rollout.PromptLength);
        BinaryPrimitives.WriteInt32LittleEndian(payload[24..], rollout.Kept);
        BinaryPrimitives.WriteSingleLittleEndian(payload[28..], rollout.Lambda);
        BinaryPrimitives.WriteSingleLittleEndian(payload[32..], rollout.Reward);
        BinaryPrimitives.WriteInt32LittleEndian(payload[CountAt..], rollout.Tokens.Length);
        for (int i = 0; i < rollout.Tokens.Length; i++)
            BinaryPrimitives.WriteInt32LittleEndian(payload[(FixedBytes + 4 * i)..], rollout.Replies?[i] == true ? ~rollout.Tokens[i] : rollout.Tokens[i]);
    }

    /// <returns>Null where the fields make no sense.</returns>
    private static Rollout? Decode(ReadOnlySpan<byte> payload)
    {
        int promptLength = BinaryPrimitives.ReadInt32LittleEndian(payload[20..]);
        int kept = BinaryPrimitives.ReadInt32LittleEndian(payload[24..]);
        int count = BinaryPrimitives.ReadInt32LittleEndian(payload[CountAt..]);
        if (count < 1 || promptLength < 1 || promptLength >= count || kept < 0 || kept > count - promptLength) return null;
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
}
