using System.Buffers.Binary;
using System.IO.MemoryMappedFiles;
using System.Runtime.InteropServices;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// π_ref's hidden states beside a file of roll-outs (method notes §2.3): for each response token, in the order of the records,
/// the state that it was drawn from. A header of 64 bytes, then rows of <c>u32 crc32c, C halves</c>, little-endian, so that a row
/// is found by its number.
/// </summary>
public static class HiddenFile
{
    internal const int HeaderBytes = 64;

    /// <summary>Bytes of a row.</summary>
    public static int RowBytes(int width) => 4 + 2 * width;

    /// <summary>Opens a file for appending behind its first rows, making it if there are none.</summary>
    /// <param name="width">C.</param>
    /// <param name="rows">Rows that the records account for; what lies behind them belongs to a record that was cut short.</param>
    public static FileStream Append(string path, int width, long rows)
    {
        FileStream? stream = null;
        try
        {
            stream = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, bufferSize: 1 << 16);
            if (rows == 0)
            {
                stream.SetLength(0);
                stream.Write(Header(width));
                return stream;
            }
            long end = HeaderBytes + rows * RowBytes(width);
            if (stream.Length < end) throw Short(path, rows);
            stream.SetLength(end);
            stream.Position = end;
            return stream;
        }
        catch (Exception error)
        {
            stream?.Dispose();
            if (error is not (IOException or UnauthorizedAccessException)) throw;
            throw new UserException($"{path}: the hidden states cannot be written ({error.Message.TrimEnd('.')}); check the disk and the permissions, or choose another --out.", error);
        }
    }

    /// <summary>Adds rows and flushes them to the operating system.</summary>
    /// <param name="states">[rows, C].</param>
    public static void Write(FileStream stream, ReadOnlySpan<Half> states, int width)
    {
        try
        {
            Span<byte> head = stackalloc byte[4];
            for (int at = 0; at < states.Length; at += width)
            {
                ReadOnlySpan<byte> row = MemoryMarshal.AsBytes(states.Slice(at, width));
                BinaryPrimitives.WriteUInt32LittleEndian(head, RecordFile.Checksum(row));
                stream.Write(head);
                stream.Write(row);
            }
            stream.Flush();
        }
        catch (IOException error)
        {
            throw new UserException($"{stream.Name}: the hidden states cannot be written ({error.Message}); make room and run again with --resume.", error);
        }
    }

    internal static byte[] Header(int width)
    {
        byte[] header = new byte[HeaderBytes];
        header.AsSpan().Fill((byte)' ');
        System.Text.Encoding.ASCII.GetBytes($"qsharp-hidden-1 {width}").CopyTo(header, 0);
        header[^1] = (byte)'\n';
        return header;
    }

    internal static UserException Short(string path, long rows) =>
        new($"{path}: there are fewer hidden states than the {rows} that the roll-outs account for; collect again into another folder.");
}

/// <param name="Rows">That its records account for.</param>
public sealed record HiddenPart(string Path, long Rows);

/// <summary>The hidden states of a data set: the rows of one finished file after another.</summary>
public sealed class HiddenReader : IDisposable
{
    private readonly List<HiddenRows> _parts = [];
    private readonly List<long> _ends = [];

    /// <exception cref="UserException">There is no such file, it is of another width, or it has too few rows.</exception>
    public HiddenReader(IReadOnlyList<HiddenPart> parts, int width)
    {
        try
        {
            foreach (HiddenPart part in parts.Where(part => part.Rows > 0))   // a shard without records has no file
            {
                _parts.Add(new HiddenRows(part.Path, width, part.Rows));
                _ends.Add((_ends.Count == 0 ? 0 : _ends[^1]) + part.Rows);
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Reads row <paramref name="row"/> as floats.</summary>
    /// <exception cref="UserException">The row is damaged.</exception>
    public void Read(long row, Span<float> state)
    {
        int part = 0;
        while (row >= _ends[part]) part++;
        _parts[part].Read(part == 0 ? row : row - _ends[part - 1], state);
    }

    public void Dispose()
    {
        foreach (HiddenRows part in _parts) part.Dispose();
    }
}

/// <summary>Rows of a finished file of hidden states, read where they lie.</summary>
internal sealed class HiddenRows : IDisposable
{
    private readonly string _path;
    private readonly int _width;
    private readonly MemoryMappedFile _file;
    private readonly MemoryMappedViewAccessor _view;
    private readonly byte[] _row;

    /// <exception cref="UserException">There is no such file, it is of another width, or it has too few rows.</exception>
    public HiddenRows(string path, int width, long rows)
    {
        _path = path;
        _width = width;
        _row = new byte[HiddenFile.RowBytes(width)];
        byte[] header = HiddenFile.Header(width), start = new byte[header.Length];
        try
        {
            using (FileStream stream = File.OpenRead(path))
            {
                if (stream.ReadAtLeast(start, start.Length, throwOnEndOfStream: false) < start.Length || !start.AsSpan().SequenceEqual(header))
                    throw new UserException($"{path}: these are not hidden states of a reference of width {width}; collect them with this reference.");
                if (stream.Length < header.Length + rows * _row.Length) throw HiddenFile.Short(path, rows);
            }
            _file = MemoryMappedFile.CreateFromFile(path, FileMode.Open, null, 0, MemoryMappedFileAccess.Read);
            _view = _file.CreateViewAccessor(0, 0, MemoryMappedFileAccess.Read);
        }
        catch (Exception error)
        {
            _file?.Dispose();
            if (error is not (IOException or UnauthorizedAccessException)) throw;
            throw new UserException($"{path}: the hidden states cannot be read ({error.Message.TrimEnd('.')}); collect with --hidden.", error);
        }
    }

    /// <summary>Reads row <paramref name="row"/> as floats.</summary>
    /// <exception cref="UserException">The row is damaged.</exception>
    public void Read(long row, Span<float> state)
    {
        _view.ReadArray(HiddenFile.HeaderBytes + row * _row.Length, _row, 0, _row.Length);
        if (RecordFile.Checksum(_row.AsSpan(4)) != BinaryPrimitives.ReadUInt32LittleEndian(_row))
            throw new UserException($"{_path}: hidden state {row} is damaged; collect again into another folder.");
        ReadOnlySpan<Half> values = MemoryMarshal.Cast<byte, Half>(_row.AsSpan(4));
        for (int c = 0; c < _width; c++) state[c] = (float)values[c];
    }

    public void Dispose()
    {
        _view.Dispose();
        _file.Dispose();
    }
}
