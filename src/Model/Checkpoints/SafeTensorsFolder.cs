using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using System.Text.Unicode;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// The weights of a model folder as one set of tensors, whether they lie in model.safetensors or in several files with
/// model.safetensors.index.json, the layout of the Hugging Face hub. If both are there, the single file counts, as in transformers.
/// </summary>
public sealed partial class SafeTensorsFolder : ITensorSource, IDisposable
{
    /// <summary>The name of the weights if they are in one file.</summary>
    public const string SingleName = "model.safetensors";

    /// <summary>The name of the index if they are not.</summary>
    public const string IndexName = "model.safetensors.index.json";

    private readonly List<SafeTensorsFile> _files = [];
    private readonly Dictionary<string, Place> _byName = [];
    private readonly List<SafeTensorsEntry> _entries = [];

    private readonly record struct Place(SafeTensorsFile File, SafeTensorsEntry Entry);

    private SafeTensorsFolder(string path) => Path = path;

    /// <summary>The folder or file as it was given.</summary>
    public string Path { get; }

    /// <summary>All tensors, file by file, in the order of their data. Their offsets belong to their own files.</summary>
    public IReadOnlyList<SafeTensorsEntry> Entries => _entries;

    IReadOnlyList<TensorEntry> ITensorSource.Tensors => [.. _entries.Select(entry => new TensorEntry(entry.Name, entry.DType, entry.Shape, entry.ByteCount))];

    /// <summary>The files that hold them.</summary>
    public IReadOnlyList<SafeTensorsFile> Files => _files;

    /// <summary>The free texts of the first file.</summary>
    public IReadOnlyDictionary<string, string> Metadata => _files[0].Metadata;

    /// <summary>Opens a model folder, or a single safetensors file.</summary>
    public static SafeTensorsFolder Open(string path)
    {
        SafeTensorsFolder folder = new(path);
        try
        {
            folder.OpenFiles();
            return folder;
        }
        catch
        {
            folder.Dispose();
            throw;
        }
    }

    /// <summary>The tensor of that name, if there is one.</summary>
    public bool TryFind(string name, [NotNullWhen(true)] out SafeTensorsEntry? entry)
    {
        bool found = _byName.TryGetValue(name, out Place place);
        entry = place.Entry;
        return found;
    }

    /// <summary>The tensor of that name; a <see cref="UserException"/> if there is none.</summary>
    public SafeTensorsEntry Find(string name) => TryFind(name, out SafeTensorsEntry? entry)
        ? entry
        : throw new UserException($"{Path} has no tensor {SafeTensorsText.Quote(name)} among its {Entries.Count}: is it another kind of "
            + "model?");

    /// <summary>The file that holds a tensor.</summary>
    public SafeTensorsFile FileOf(SafeTensorsEntry entry) => _byName.TryGetValue(entry.Name, out Place place)
        ? place.File
        : throw new ArgumentException($"FileOf: {entry} is not a tensor of {Path}.", nameof(entry));

    /// <inheritdoc cref="SafeTensorsFile.Bytes(SafeTensorsEntry)"/>
    public ReadOnlySpan<byte> Bytes(SafeTensorsEntry entry) => FileOf(entry).Bytes(entry);

    /// <inheritdoc cref="SafeTensorsFile.Bytes(SafeTensorsEntry, long, int)"/>
    public ReadOnlySpan<byte> Bytes(SafeTensorsEntry entry, long start, int count) => FileOf(entry).Bytes(entry, start, count);

    /// <inheritdoc cref="SafeTensorsFile.CopyTo(SafeTensorsEntry, Span{float})"/>
    public void CopyTo(SafeTensorsEntry entry, Span<float> destination) => FileOf(entry).CopyTo(entry, destination);

    /// <inheritdoc cref="SafeTensorsFile.CopyTo(SafeTensorsEntry, long, Span{float})"/>
    public void CopyTo(SafeTensorsEntry entry, long first, Span<float> destination) => FileOf(entry).CopyTo(entry, first, destination);

    void ITensorSource.CopyTo(string name, long first, Span<float> destination) => CopyTo(Find(name), first, destination);

    /// <inheritdoc cref="SafeTensorsFile.Describe()"/>
    public IEnumerable<string> Describe() => SafeTensorsFile.Describe(Entries);

    public void Dispose()
    {
        foreach (SafeTensorsFile file in _files) file.Dispose();
    }

    /// <summary>
    /// Writes the weights into a folder: one file, or files of at most <paramref name="maxShardBytes"/> bytes of data with an index
    /// (a tensor larger than that gets a file of its own). A reader finds the old weights, the new ones, or, if several files were
    /// being replaced when the power failed, no index; never a mixture. Weight files that the new ones replace are removed.
    /// </summary>
    public static void Write(string folder, IEnumerable<SafeTensorsSource> tensors, IReadOnlyDictionary<string, string>? metadata = null,
        long maxShardBytes = long.MaxValue)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(maxShardBytes);
        List<SafeTensorsWriter.Sized> all = SafeTensorsWriter.Sorted(tensors);
        List<List<SafeTensorsWriter.Sized>> shards = Split(all, maxShardBytes);
        string single = System.IO.Path.Combine(folder, SingleName), index = System.IO.Path.Combine(folder, IndexName);
        if (shards.Count == 1)
        {
            SafeTensorsWriter.Write(single, all, metadata);
            Remove(index);
            RemoveShards(folder, keep: 0);
            return;
        }
        // Without its index an old set cannot be read, so none of its files can be taken for one of the new set's.
        Remove(index);
        StringBuilder json = new("{\n  \"metadata\": {\n    \"total_size\": ");
        json.Append(CultureInfo.InvariantCulture, $"{all.Sum(item => item.Bytes)}\n  }},\n  \"weight_map\": {{");
        List<(string Name, string File)> map = [];
        for (int i = 0; i < shards.Count; i++)
        {
            string name = ShardName(i + 1, shards.Count);
            SafeTensorsWriter.Write(System.IO.Path.Combine(folder, name), shards[i], metadata);
            foreach ((SafeTensorsSource tensor, long _) in shards[i]) map.Add((tensor.Name, name));
        }
        map.Sort((a, b) => string.CompareOrdinal(a.Name, b.Name));
        for (int i = 0; i < map.Count; i++)
        {
            SafeTensorsWriter.Append(json.Append(i == 0 ? "\n    " : ",\n    "), map[i].Name).Append(": ");
            SafeTensorsWriter.Append(json, map[i].File);
        }
        json.Append("\n  }\n}\n");
        AtomicFile.Write(index, stream => stream.Write(Encoding.UTF8.GetBytes(json.ToString())));
        Remove(single);
        RemoveShards(folder, keep: shards.Count);
    }

    /// <summary>Which file holds which tensor, from the text of an index.</summary>
    internal static Dictionary<string, string> ParseIndex(string path, ReadOnlySpan<byte> json)
    {
        if (json.StartsWith("\uFEFF"u8)) json = json[3..];
        if (!Utf8.IsValid(json)) throw new UserException($"{path} is not valid UTF-8 text: download it again.");
        if (json.IsEmpty || !json.TrimStart(" \t\r\n"u8).StartsWith("{"u8))
            throw new UserException(SafeTensorsMistakes.Recognise(json) is { } mistake
                ? $"{path} is not an index but {mistake}."
                : $"{path} is not a JSON object: download it again.");
        Dictionary<string, string> files = new SafeTensorsJson(path, json, "index", 0).Index();
        foreach ((string tensor, string file) in files)
        {
            // An index is someone else's text: it may name files beside it and none elsewhere.
            if (file.Length == 0 || file is "." or ".." || file.AsSpan().IndexOfAny("/\\:\0") >= 0)
                throw new UserException($"{path} places tensor {SafeTensorsText.Quote(tensor)} in {SafeTensorsText.Quote(file)}, which is "
                    + "not the name of a file in the same folder: correct the index or download it again.");
        }
        return files;
    }

    private void OpenFiles()
    {
        string index = System.IO.Path.Combine(Path, IndexName), single = System.IO.Path.Combine(Path, SingleName);
        if (!Directory.Exists(Path)) Add(SafeTensorsFile.Open(Path), null);
        else if (File.Exists(single)) Add(SafeTensorsFile.Open(single), null);
        else if (File.Exists(index)) OpenShards(index);
        else throw new UserException($"{Path} has neither {SingleName} nor {IndexName}{Others()}.");
    }

    private void OpenShards(string index)
    {
        Dictionary<string, string> map = ParseIndex(index, ReadIndex(index));
        if (map.Count == 0) throw new UserException($"{index} lists no tensors: download it again.");
        IEnumerable<IGrouping<string, string>> shards = map.GroupBy(pair => pair.Value, pair => pair.Key);
        foreach (IGrouping<string, string> shard in shards.OrderBy(shard => shard.Key, StringComparer.Ordinal))
        {
            string path = System.IO.Path.Combine(Path, shard.Key);
            if (!File.Exists(path))
                throw new UserException($"{path} is missing, although {IndexName} places {shard.Count()} tensors in it: download it into "
                    + "the same folder.");
            SafeTensorsFile file = SafeTensorsFile.Open(path);
            HashSet<string> listed = [.. shard];
            Add(file, listed);
            foreach (string name in listed)
                if (!file.TryFind(name, out _))
                    throw new UserException($"{index} places tensor {SafeTensorsText.Quote(name)} in {shard.Key}, which does not have it: "
                        + "the files are of different versions; download them again.");
        }
    }

    /// <summary>Takes up a file's tensors; of a shard, those that the index places there.</summary>
    private void Add(SafeTensorsFile file, HashSet<string>? listed)
    {
        _files.Add(file);
        foreach (SafeTensorsEntry entry in file.Entries)
        {
            if (listed is not null && !listed.Contains(entry.Name)) continue;
            _byName.Add(entry.Name, new Place(file, entry));
            _entries.Add(entry);
        }
    }

    private static byte[] ReadIndex(string path)
    {
        try
        {
            long length = new FileInfo(path).Length;
            if (length > SafeTensorsHeader.MaxBytes)
                throw new UserException($"{path} has {length} bytes, more than an index can have: download it again.");
            return File.ReadAllBytes(path);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new UserException($"{path} cannot be read ({failure.Message.TrimEnd('.')}): check that you may read it.", failure);
        }
    }

    /// <summary>Whether a file of that name is one that <see cref="Write"/> makes.</summary>
    internal static bool IsOwnName(string name) => name is SingleName or IndexName || ShardPattern().IsMatch(name);

    /// <summary>What the folder has instead, as the end of a message.</summary>
    private string Others()
    {
        string[] names = [.. Directory.EnumerateFiles(Path).Select(file => System.IO.Path.GetFileName(file)).Order(StringComparer.Ordinal)];
        if (names.Any(name => ShardPattern().IsMatch(name)))
            return $": it holds {names.First(name => ShardPattern().IsMatch(name))}, but no index that says what belongs together; "
                + "download the index, or write the weights again";
        if (names.FirstOrDefault(name => name.EndsWith(".safetensors", StringComparison.Ordinal)) is { } other)
            return $": name the file itself if you mean {other}";
        if (names.FirstOrDefault(name => name.EndsWith(".gguf", StringComparison.Ordinal)) is { } gguf)
            return $": name the file itself if you mean {gguf}";
        if (names.FirstOrDefault(name => System.IO.Path.GetExtension(name) is ".bin" or ".pt") is { } pickle)
            return $": {pickle} is PyTorch's own format; convert it with safetensors.torch.save_file or download the .safetensors files";
        return ": is it the model's folder, and is the download complete";
    }

    private static List<List<SafeTensorsWriter.Sized>> Split(List<SafeTensorsWriter.Sized> all, long maxShardBytes)
    {
        List<List<SafeTensorsWriter.Sized>> shards = [[]];
        long used = 0;
        foreach (SafeTensorsWriter.Sized item in all)
        {
            if (shards[^1].Count > 0 && item.Bytes > maxShardBytes - used)
            {
                shards.Add([]);
                used = 0;
            }
            shards[^1].Add(item);
            used += item.Bytes;
        }
        return shards;
    }

    private static string ShardName(int number, int count) =>
        string.Create(CultureInfo.InvariantCulture, $"model-{number:d5}-of-{count:d5}.safetensors");

    private static void RemoveShards(string folder, int keep)
    {
        foreach (string path in Directory.GetFiles(folder, "model-*.safetensors"))
        {
            Match match = ShardPattern().Match(System.IO.Path.GetFileName(path));
            if (match.Success && int.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture) != keep) Remove(path);
        }
    }

    private static void Remove(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (DirectoryNotFoundException)
        {
            // nothing to remove
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new UserException($"{path} is of the weights before and cannot be removed ({failure.Message.TrimEnd('.')}): remove "
                + "it.", failure);
        }
    }

    [GeneratedRegex(@"^model-\d{5}-of-(\d{5})\.safetensors$", RegexOptions.CultureInvariant)]
    private static partial Regex ShardPattern();
}
