using System.Buffers.Binary;
using System.Text.Unicode;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// The header of a safetensors file: eight bytes of length (little endian), then that many bytes of JSON, then the data.
/// Accepts what the reference library accepts, and refuses what the format forbids although that library lets it pass
/// (repeated names, a header that does not begin with '{').
/// </summary>
internal sealed class SafeTensorsHeader
{
    /// <summary>The reference library's cap, there so that a damaged length cannot ask for all memory.</summary>
    public const int MaxBytes = 100_000_000;

    /// <summary>Bytes in front of the JSON.</summary>
    public const int LengthBytes = 8;

    private SafeTensorsHeader(SafeTensorsEntry[] entries, IReadOnlyDictionary<string, string> metadata) =>
        (Entries, Metadata) = (entries, metadata);

    /// <summary>The tensors in the order of their data.</summary>
    public IReadOnlyList<SafeTensorsEntry> Entries { get; }

    /// <summary>The free texts under <c>__metadata__</c>.</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; }

    /// <summary>Reads and checks a header.</summary>
    /// <param name="path">Named in messages; nothing is opened.</param>
    /// <param name="start">The file's bytes from its first on, as many as it has or at least the longest header.</param>
    /// <param name="fileLength">The file's whole length.</param>
    public static SafeTensorsHeader Parse(string path, ReadOnlySpan<byte> start, long fileLength)
    {
        if (fileLength == 0)
            throw new UserException($"{path} is empty (0 bytes): whatever should have filled it did not finish; download or export it "
                + "again.");
        ulong length = start.Length < LengthBytes ? ulong.MaxValue : BinaryPrimitives.ReadUInt64LittleEndian(start);
        if (length > MaxBytes || (long)length > fileLength - LengthBytes)
        {
            if (SafeTensorsMistakes.Recognise(start) is { } mistake)
                throw new UserException($"{path} is not a safetensors file but {mistake}.");
            if (start.Length < LengthBytes)
                throw new UserException($"{path} has only {fileLength} bytes, too few for a safetensors file: download or export it "
                    + "again.");
            if (length > MaxBytes)
                throw new UserException($"{path} announces a header of {length} bytes in its first 8 bytes, over the format's limit of "
                    + $"{MaxBytes}: it is damaged or not a safetensors file; download or export it again.");
            throw new UserException($"{path} announces a header of {length} bytes in its first 8 bytes but only "
                + $"{fileLength - LengthBytes} bytes follow: it is cut short or not a safetensors file; download or export it again.");
        }
        ReadOnlySpan<byte> json = start.Slice(LengthBytes, (int)length);
        if (json.IsEmpty || json[0] != '{')
        {
            if (SafeTensorsMistakes.Recognise(start) is { } mistake)
                throw new UserException($"{path} is not a safetensors file but {mistake}.");
            throw new UserException($"{path}: its header does not begin with '{{' at byte {LengthBytes}: it is damaged or not a "
                + "safetensors file; download or export it again.");
        }
        if (!Utf8.IsValid(json))
            throw new UserException($"{path}: its header is not valid UTF-8 text: it is damaged or not a safetensors file; download or "
                + "export it again.");

        SafeTensorsJson parser = new(path, json, "header", LengthBytes);
        List<SafeTensorsEntry> entries = parser.Header(out Dictionary<string, string> metadata);
        long dataStart = LengthBytes + (long)length;
        SafeTensorsEntry[] sorted = [.. entries];
        CheckCover(path, sorted, fileLength - dataStart);
        for (int i = 0; i < sorted.Length; i++) sorted[i] = sorted[i] with { Offset = dataStart + sorted[i].Offset };
        return new SafeTensorsHeader(sorted, metadata);
    }

    /// <summary>Sorts by place and makes sure that the tensors cover the data once, from its first byte to its last.</summary>
    private static void CheckCover(string path, SafeTensorsEntry[] entries, long dataLength)
    {
        Array.Sort(entries, (a, b) =>
        {
            int order = a.Offset.CompareTo(b.Offset);
            if (order == 0) order = a.ByteCount.CompareTo(b.ByteCount);   // empty tensors come before the one at the same place
            return order != 0 ? order : string.CompareOrdinal(a.Name, b.Name);
        });
        long covered = 0;
        for (int i = 0; i < entries.Length; i++)
        {
            SafeTensorsEntry entry = entries[i];
            if (entry.Offset > covered)
                throw new UserException($"{path}: bytes {covered} to {entry.Offset} of the data, in front of tensor "
                    + $"{SafeTensorsText.Quote(entry.Name)}, belong to no tensor, which the format forbids: the file was written wrongly; "
                    + "export it again.");
            if (entry.Offset < covered)
                throw new UserException($"{path}: tensors {SafeTensorsText.Quote(entries[i - 1].Name)} and "
                    + $"{SafeTensorsText.Quote(entry.Name)} share bytes {entry.Offset} to {covered} of the data, which the format "
                    + "forbids: the file was written wrongly; export it again.");
            covered = entry.Offset + entry.ByteCount;
        }
        if (covered > dataLength)
            throw new UserException($"{path} is cut short: its tensors need {covered} bytes of data up to the end of "
                + $"{SafeTensorsText.Quote(entries[^1].Name)} but only {dataLength} are there; download or copy it again.");
        if (covered < dataLength)
            throw new UserException($"{path} has {dataLength - covered} bytes after its last tensor that belong to none, which the format "
                + "forbids: it was written wrongly; download or export it again.");
    }
}

/// <summary>Files that people feed in place of a safetensors file, known by their first bytes.</summary>
internal static class SafeTensorsMistakes
{
    private const string ConvertIt = "convert it with safetensors.torch.save_file or take the model's .safetensors file";

    /// <summary>What the file is and what to do about it, or null.</summary>
    public static string? Recognise(ReadOnlySpan<byte> start)
    {
        if (start.StartsWith("version https://git-lfs"u8))
            return "a git-LFS pointer, the small text that stands for the real file: fetch that with \"git lfs pull\" or download it";
        if (start.StartsWith("PK\x03\x04"u8))
            return "a zip archive, as PyTorch's .bin and .pt files are: " + ConvertIt;
        // A pickle names its protocol; with zeros after it, though, the two bytes are the length of a header that is cut short.
        bool zeros = !start[Math.Min(start.Length, 2)..Math.Min(start.Length, 8)].ContainsAnyExcept((byte)0);
        if (start.Length > 2 && start[0] == 0x80 && start[1] is >= 2 and <= 5 && !zeros)
            return "a Python pickle, as older PyTorch .bin files are: " + ConvertIt;
        if (start.StartsWith("GGUF"u8))
            return "a GGUF model with another name: give it the ending .gguf";
        if (start.Length >= 4 && start[0] == 0x89 && start[1..4].SequenceEqual("HDF"u8))
            return "an HDF5 file, as Keras writes them: convert it or take the model's .safetensors file";
        if (start.StartsWith((ReadOnlySpan<byte>)[0x1F, 0x8B, 0x08]))
            return "packed with gzip: unpack it with gunzip";
        ReadOnlySpan<byte> text = start[..Math.Min(start.Length, 256)];
        if (text.StartsWith("\uFEFF"u8)) text = text[3..];
        text = text.TrimStart(" \t\r\n"u8);
        if (text.StartsWith("<"u8))
            return "a web page, perhaps one that asks for a login or reports an error: download the file itself";
        if (text.StartsWith("{"u8))
            return "a JSON text, perhaps the index of a model in several files or an error message of the download: "
                + "take the model's .safetensors file";
        return null;
    }
}
