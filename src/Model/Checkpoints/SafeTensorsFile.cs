using System.Diagnostics.CodeAnalysis;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// A safetensors file mapped into memory: opening reads the header alone, and a tensor's bytes come from the disk when
/// they are looked at, so a file may be larger than memory. The file must keep its length while it is open, and no span
/// from it may be used after <see cref="Dispose"/>.
/// </summary>
public sealed class SafeTensorsFile : IDisposable
{
    private readonly MappedFile _file;
    private readonly Dictionary<string, SafeTensorsEntry> _byName;

    private SafeTensorsFile(MappedFile file)
    {
        _file = file;
        int longest = (int)Math.Min(file.Length, SafeTensorsHeader.LengthBytes + SafeTensorsHeader.MaxBytes);
        SafeTensorsHeader header = SafeTensorsHeader.Parse(file.Path, file.Span(0, longest), file.Length);
        Entries = header.Entries;
        Metadata = header.Metadata;
        _byName = new Dictionary<string, SafeTensorsEntry>(Entries.Count);
        foreach (SafeTensorsEntry entry in Entries) _byName.Add(entry.Name, entry);
    }

    /// <summary>The path as it was given.</summary>
    public string Path => _file.Path;

    /// <summary>All tensors, in the order of their data.</summary>
    public IReadOnlyList<SafeTensorsEntry> Entries { get; }

    /// <summary>The free texts that the file carries under <c>__metadata__</c>.</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; }

    /// <summary>Maps the file and checks its header; a <see cref="UserException"/> says what is wrong with it.</summary>
    public static SafeTensorsFile Open(string path)
    {
        MappedFile file = MappedFile.Open(path, "safetensors file");
        try
        {
            return new SafeTensorsFile(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>The tensor of that name, if the file has one.</summary>
    public bool TryFind(string name, [NotNullWhen(true)] out SafeTensorsEntry? entry) => _byName.TryGetValue(name, out entry);

    /// <summary>The tensor of that name; a <see cref="UserException"/> if the file has none.</summary>
    public SafeTensorsEntry Find(string name) => TryFind(name, out SafeTensorsEntry? entry)
        ? entry
        : throw new UserException($"{Path} has no tensor {SafeTensorsText.Quote(name)} among its {Entries.Count}: is it the file of "
            + "another model?");

    /// <summary>All bytes of a tensor, where they lie. A tensor of 2 GiB or more does not fit one span: read it in parts.</summary>
    public ReadOnlySpan<byte> Bytes(SafeTensorsEntry entry) => entry.ByteCount <= int.MaxValue
        ? Bytes(entry, 0, (int)entry.ByteCount)
        : throw new ArgumentException($"Bytes: {entry} has {entry.ByteCount} bytes, more than one span holds; read it in "
            + "parts.", nameof(entry));

    /// <summary>Bytes [<paramref name="start"/>, start + <paramref name="count"/>) of a tensor, where they lie.</summary>
    public ReadOnlySpan<byte> Bytes(SafeTensorsEntry entry, long start, int count)
    {
        if (!_byName.TryGetValue(entry.Name, out SafeTensorsEntry? own) || own.Offset != entry.Offset || own.ByteCount != entry.ByteCount)
            throw new ArgumentException($"Bytes: {entry} is not a tensor of {Path}.", nameof(entry));
        if (start < 0 || count < 0 || start > entry.ByteCount - count)
            throw new ArgumentException($"Bytes: {count} bytes from {start} on are not inside {entry} with its {entry.ByteCount} "
                + "bytes.", nameof(start));
        return _file.Span(entry.Offset + start, count);
    }

    /// <summary>A whole F32, F16 or BF16 tensor as fp32.</summary>
    public void CopyTo(SafeTensorsEntry entry, Span<float> destination)
    {
        if (destination.Length != entry.Count)
            throw new ArgumentException($"CopyTo: {entry} has {entry.Count} elements, the destination "
                + $"{destination.Length}.", nameof(destination));
        CopyTo(entry, 0, destination);
    }

    /// <summary>Elements [<paramref name="first"/>, first + destination.Length) of an F32, F16 or BF16 tensor as fp32.</summary>
    public void CopyTo(SafeTensorsEntry entry, long first, Span<float> destination)
    {
        const int Part = 1 << 24;   // the bytes of one part always fit a span
        if (!SafeTensorsFloats.IsFloat(entry.DType))
            throw new UserException($"{Path}: tensor {SafeTensorsText.Quote(entry.Name)} is stored as {entry.DType}, but weights must be "
                + "F32, F16 or BF16: convert it with the library that wrote it.");
        if (first < 0 || first > entry.Count - destination.Length)
            throw new ArgumentException($"CopyTo: {destination.Length} elements from {first} on are not inside {entry}.", nameof(first));
        int size = SafeTensorsTypes.Bits(entry.DType) / 8;
        for (int done = 0; done < destination.Length; done += Part)
        {
            int count = Math.Min(Part, destination.Length - done);
            SafeTensorsFloats.Widen(entry.DType, Bytes(entry, (first + done) * size, count * size), destination.Slice(done, count));
        }
    }

    /// <summary>One line a tensor, sorted by name: name, type, shape, bytes.</summary>
    public IEnumerable<string> Describe() => Describe(Entries);

    public void Dispose() => _file.Dispose();

    internal static IEnumerable<string> Describe(IReadOnlyList<SafeTensorsEntry> entries)
    {
        int width = entries.Count == 0 ? 0 : entries.Max(entry => Math.Min(entry.Name.Length, 80));
        foreach (SafeTensorsEntry entry in entries.OrderBy(entry => entry.Name, StringComparer.Ordinal))
            yield return $"{SafeTensorsText.Clean(entry.Name).PadRight(width)}  {entry.DType,-4}  [{string.Join(", ", entry.Shape)}]  "
                + $"{entry.ByteCount} bytes";
    }
}
