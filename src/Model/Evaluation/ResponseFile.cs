using System.Buffers.Binary;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// The finished responses of an evaluation on disk (<see cref="RecordFile"/>), so that one that was stopped goes on from them: each is a
/// function of what the file is bound to, its policy, its problem and its sample alone. What a guide thinks of them is not kept.
/// </summary>
public sealed class ResponseFile : IDisposable
{
    private const int FixedBytes = 5 * 4 + 6 * 8, CountAt = 12;   // see Encode

    private readonly RecordFile _file;
    private readonly Dictionary<(int Policy, int Problem, int Sample), ScoredResponse> _found;

    private ResponseFile(RecordFile file, Dictionary<(int Policy, int Problem, int Sample), ScoredResponse> found)
    {
        _file = file;
        _found = found;
    }

    /// <summary>Responses that were there when the file was opened.</summary>
    public int Found => _found.Count;

    /// <summary>Bytes of a torn tail that opening cut off.</summary>
    public long DroppedBytes => _file.DroppedBytes;

    /// <summary>Opens a file for reading and appending, making it if it is not there.</summary>
    /// <param name="fingerprint">Of everything that shapes the responses, always of one length.</param>
    /// <exception cref="UserException">The file is another evaluation's, is damaged before its tail, or cannot be written.</exception>
    public static ResponseFile Open(string path, string fingerprint)
    {
        RecordFormat format = new(
            $"qsharp-responses-1 {fingerprint}\n", FixedBytes, CountAt, "the file of responses",
            "these responses were drawn from another model, with another guide or for other policies, problems or settings than this call's; resume with the same, or move the file away to draw anew",
            "move the file away to draw anew");
        Dictionary<(int, int, int), ScoredResponse> found = [];
        RecordFile file = RecordFile.Append(path, format, payload =>
        {
            if (Decode(payload) is not { } response) return false;
            found[(BinaryPrimitives.ReadInt32LittleEndian(payload), response.Problem, response.Sample)] = response;
            return true;
        });
        return new ResponseFile(file, found);
    }

    /// <summary>The responses of some numbers that were there when the file was opened, and the numbers of the others.</summary>
    /// <param name="policy">Index among the evaluated policies.</param>
    /// <param name="numbers">problem · samples + sample.</param>
    /// <param name="samples">Of each problem.</param>
    public (List<ScoredResponse> Found, List<int> Missing) Look(int policy, IEnumerable<int> numbers, int samples)
    {
        List<ScoredResponse> found = [];
        List<int> missing = [];
        foreach (int number in numbers)
        {
            if (_found.TryGetValue((policy, number / samples, number % samples), out ScoredResponse? response)) found.Add(response);
            else missing.Add(number);
        }
        return (found, missing);
    }

    /// <summary>Adds a response and flushes it to the operating system.</summary>
    public void Write(int policy, ScoredResponse response)
    {
        _file.Write(response.Tokens.Length, (policy, response), Encode);
        _file.Flush();
    }

    public void Dispose() => _file.Dispose();

    private static void Encode(Span<byte> payload, (int Policy, ScoredResponse Response) record)
    {
        ScoredResponse response = record.Response;
        BinaryPrimitives.WriteInt32LittleEndian(payload, record.Policy);
        BinaryPrimitives.WriteInt32LittleEndian(payload[4..], response.Problem);
        BinaryPrimitives.WriteInt32LittleEndian(payload[8..], response.Sample);
        BinaryPrimitives.WriteInt32LittleEndian(payload[CountAt..], response.Tokens.Length);
        BinaryPrimitives.WriteSingleLittleEndian(payload[16..], response.Reward);
        BinaryPrimitives.WriteDoubleLittleEndian(payload[20..], response.Kl);
        BinaryPrimitives.WriteDoubleLittleEndian(payload[28..], response.KlFloor);
        BinaryPrimitives.WriteDoubleLittleEndian(payload[36..], response.LogRatio);
        BinaryPrimitives.WriteDoubleLittleEndian(payload[44..], response.LogPolicy);
        BinaryPrimitives.WriteDoubleLittleEndian(payload[52..], response.LogTilt);
        BinaryPrimitives.WriteDoubleLittleEndian(payload[60..], response.Seconds);
        for (int i = 0; i < response.Tokens.Length; i++) BinaryPrimitives.WriteInt32LittleEndian(payload[(FixedBytes + 4 * i)..], response.Tokens[i]);
    }

    /// <returns>Null where there are no tokens, or what is none.</returns>
    private static ScoredResponse? Decode(ReadOnlySpan<byte> payload)
    {
        int[] tokens = new int[BinaryPrimitives.ReadInt32LittleEndian(payload[CountAt..])];
        for (int i = 0; i < tokens.Length; i++) tokens[i] = BinaryPrimitives.ReadInt32LittleEndian(payload[(FixedBytes + 4 * i)..]);
        if (tokens.Length == 0 || tokens.Any(token => token < 0)) return null;
        return new ScoredResponse(
            BinaryPrimitives.ReadInt32LittleEndian(payload[4..]), BinaryPrimitives.ReadInt32LittleEndian(payload[8..]), tokens,
            BinaryPrimitives.ReadSingleLittleEndian(payload[16..]), BinaryPrimitives.ReadDoubleLittleEndian(payload[20..]), BinaryPrimitives.ReadDoubleLittleEndian(payload[28..]),
            BinaryPrimitives.ReadDoubleLittleEndian(payload[36..]), double.NaN)
        {
            LogPolicy = BinaryPrimitives.ReadDoubleLittleEndian(payload[44..]),
            LogTilt = BinaryPrimitives.ReadDoubleLittleEndian(payload[52..]),
            Seconds = BinaryPrimitives.ReadDoubleLittleEndian(payload[60..]),
        };
    }
}
