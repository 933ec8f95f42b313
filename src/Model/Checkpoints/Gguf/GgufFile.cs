using System.Buffers.Binary;
using System.Globalization;
using System.Text;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>One tensor of a GGUF file.</summary>
/// <param name="Type">Element type as ggml writes it, such as Q4_1.</param>
/// <param name="Shape">Row-major: the last dimension is contiguous (GGUF itself lists it first).</param>
/// <param name="Offset">Of its first byte in the file.</param>
public sealed record GgufTensor(string Name, string Type, long[] Shape, long Offset, long ByteCount)
{
    public long Count => Shape.Aggregate(1L, (product, size) => product * size);
}

/// <summary>
/// A GGUF file (llama.cpp's format, versions 2 and 3) mapped into memory: opening walks the metadata and the list of
/// tensors, and checks every length and offset against the file; values are decoded when they are asked for.
/// </summary>
public sealed class GgufFile : IDisposable
{
    private const int MostDimensions = 4, MostNameBytes = 1 << 16;
    private const long HeadBytes = 1 << 30;

    private readonly MappedFile _file;
    private readonly Dictionary<string, Value> _metadata = [];
    private readonly Dictionary<string, (GgufTensor Tensor, GgufType Type)> _tensors = [];
    private readonly List<GgufTensor> _list = [];

    /// <param name="Type">Of the value, or of an array's elements.</param>
    /// <param name="Position">Of the value's first byte, behind an array's count.</param>
    /// <param name="Count">Items; −1 for a single value.</param>
    private readonly record struct Value(uint Type, int Position, long Count);

    private GgufFile(MappedFile file)
    {
        _file = file;
        ReadHead();
    }

    public string Path => _file.Path;

    /// <summary>All tensors, in the file's order.</summary>
    public IReadOnlyList<GgufTensor> Tensors => _list;

    /// <summary>Keys of the metadata.</summary>
    public IEnumerable<string> Keys => _metadata.Keys;

    /// <exception cref="UserException">There is no such file, or it is malformed.</exception>
    public static GgufFile Open(string path)
    {
        MappedFile file = MappedFile.Open(path, "GGUF file");
        try
        {
            return new GgufFile(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    public bool Has(string key) => _metadata.ContainsKey(key);

    public string Text(string key) => Single(key, GgufReader.String, "a text", out int at) ? TextAt(ref at) : throw Missing(key);

    public string? TextOrNull(string key) => Has(key) ? Text(key) : null;

    /// <summary>A whole number of any width that 32 bits can hold.</summary>
    public int Integer(string key) => Number(key) is var number && number == Math.Truncate(number) && Math.Abs(number) <= int.MaxValue
        ? (int)number
        : throw new UserException($"{Path}: {key} is {number.ToString(CultureInfo.InvariantCulture)}, but must be a whole number of at most {int.MaxValue}.");

    /// <summary>A number of any width.</summary>
    public double Number(string key) => _metadata.TryGetValue(key, out Value value) && value.Count < 0 && NumberAt(value.Type, value.Position) is { } number
        ? number
        : throw (Has(key) ? Wrong(key, "a number") : Missing(key));

    public bool Flag(string key, bool absent) =>
        !Has(key) ? absent : Single(key, GgufReader.Bool, "true or false", out int at) && _file.Span(at, 1)[0] != 0;

    /// <summary>The texts of a list.</summary>
    public string[] Texts(string key)
    {
        Value list = List(key);
        if (list.Type != GgufReader.String) throw Wrong(key, "a list of texts");
        string[] texts = new string[list.Count];
        int at = list.Position;
        for (int i = 0; i < texts.Length; i++) texts[i] = TextAt(ref at);
        return texts;
    }

    /// <summary>The numbers of a list.</summary>
    public double[] Numbers(string key)
    {
        Value list = List(key);
        if (GgufReader.SizeOf(list.Type) is not { } size) throw Wrong(key, "a list of numbers");
        double[] numbers = new double[list.Count];
        for (int i = 0; i < numbers.Length; i++) numbers[i] = NumberAt(list.Type, list.Position + i * size) ?? throw Wrong(key, "a list of numbers");
        return numbers;
    }

    /// <summary>Texts, numbers and flags of the metadata as texts, and the lengths of its lists.</summary>
    public IReadOnlyDictionary<string, string> Summary() => _metadata.ToDictionary(entry => entry.Key, entry => entry.Value switch
    {
        { Count: >= 0 } list => $"a list of {list.Count}",
        { Type: GgufReader.String } => Text(entry.Key),
        { Type: GgufReader.Bool } => Flag(entry.Key, false) ? "true" : "false",
        _ => Number(entry.Key).ToString(CultureInfo.InvariantCulture),
    });

    public bool TryFind(string name, out GgufTensor tensor)
    {
        bool found = _tensors.TryGetValue(name, out (GgufTensor Tensor, GgufType Type) entry);
        tensor = entry.Tensor;
        return found;
    }

    /// <summary>Widens or dequantises a whole tensor. Safe to use from several threads.</summary>
    public void CopyTo(GgufTensor tensor, Span<float> destination) => CopyTo(tensor, 0, destination);

    /// <summary>Widens or dequantises some whole rows of a tensor.</summary>
    /// <param name="firstRow">Of the rows of length Shape[^1].</param>
    /// <exception cref="UserException">Values of this type cannot be read.</exception>
    public void CopyTo(GgufTensor tensor, long firstRow, Span<float> destination)
    {
        GgufType type = _tensors[tensor.Name].Type;
        RequireReadable(tensor);
        long first = firstRow * tensor.Shape[^1];
        if (firstRow < 0 || first > tensor.Count - destination.Length || destination.Length % type.BlockSize != 0)
            throw new ArgumentException($"CopyTo: {destination.Length} elements from row {firstRow} on are not whole rows of {tensor.Name}.");
        const int Part = 1 << 22;
        for (int done = 0; done < destination.Length; done += Part)
        {
            int count = Math.Min(Part, destination.Length - done);
            long at = tensor.Offset + (first + done) / type.BlockSize * type.BlockBytes;
            BlockQuants.Dequantise(type, _file.Span(at, count / type.BlockSize * type.BlockBytes), destination.Slice(done, count));
        }
    }

    /// <exception cref="UserException">Values of the tensor's type cannot be read.</exception>
    public void RequireReadable(GgufTensor tensor)
    {
        if (!BlockQuants.IsSupported(tensor.Type))
            throw new UserException($"{Path}: the tensor '{SafeTensorsText.Clean(tensor.Name)}' is stored as {tensor.Type}, which is not supported; give a file of F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1 or Q2_K to Q6_K.");
    }

    public void Dispose() => _file.Dispose();

    private void ReadHead()
    {
        ReadOnlySpan<byte> head = _file.Span(0, (int)Math.Min(_file.Length, HeadBytes));
        if (!head.StartsWith("GGUF"u8)) throw NotGguf(head);
        GgufReader reader = new(Path, head);
        reader.UInt32("the magic");
        uint version = reader.UInt32("the version");
        if (version is not (2 or 3))
            throw new UserException(BinaryPrimitives.ReverseEndianness(version) is 1 or 2 or 3
                ? $"{Path}: this GGUF file is in big-endian byte order, which is not supported; convert it, or download it for a little-endian machine."
                : $"{Path}: this is version {version} of GGUF, which is not supported; versions 2 and 3 are: convert the model again with a current program.");
        ulong tensors = reader.UInt64("the number of tensors"), values = reader.UInt64("the number of metadata values");
        // A tensor's entry takes 24 bytes at least, a metadata value 13.
        if (tensors > (ulong)head.Length / 24) throw reader.Malformed($"it announces {tensors} tensors, more than the file can hold");
        if (values > (ulong)head.Length / 13) throw reader.Malformed($"it announces {values} metadata values, more than the file can hold");
        for (ulong i = 0; i < values; i++) ReadValue(ref reader);
        int alignment = Has("general.alignment") ? Integer("general.alignment") : 32;
        if (alignment < 1 || alignment % 8 != 0 || alignment > 1 << 20)
            throw reader.Malformed($"general.alignment is {alignment}, but must be a multiple of 8 and at most a million");
        List<(string Name, GgufType Type, long[] Shape, ulong Offset)> entries = [];
        for (ulong i = 0; i < tensors; i++) entries.Add(ReadTensor(ref reader));
        long data = (reader.Position + alignment - 1) / alignment * alignment;
        foreach ((string name, GgufType type, long[] shape, ulong offset) in entries) Place(reader, name, type, shape, offset, data, alignment);
        CheckOverlap(reader);
    }

    private void ReadValue(ref GgufReader reader)
    {
        string key = reader.Text("a metadata key");
        if (key.Length == 0 || key.Length > MostNameBytes) throw reader.Malformed($"a metadata key has {key.Length} characters");
        string what = $"the value of {SafeTensorsText.Clean(key)}";
        uint type = reader.UInt32(what);
        int start = reader.Position;
        reader.Skip(type, what);
        Value value = type == GgufReader.Array
            ? new Value(BinaryPrimitives.ReadUInt32LittleEndian(_file.Span(start, 4)), start + 12, (long)BinaryPrimitives.ReadUInt64LittleEndian(_file.Span(start + 4, 8)))
            : new Value(type, start, -1);
        if (!_metadata.TryAdd(key, value)) throw reader.Malformed($"the metadata key {SafeTensorsText.Quote(key)} is there twice");
    }

    private static (string Name, GgufType Type, long[] Shape, ulong Offset) ReadTensor(ref GgufReader reader)
    {
        string name = reader.Text("a tensor's name");
        if (name.Length > MostNameBytes) throw reader.Malformed($"a tensor's name has {name.Length} characters");
        string what = $"tensor {SafeTensorsText.Quote(name)}";
        uint rank = reader.UInt32(what);
        if (rank is < 1 or > MostDimensions) throw reader.Malformed($"{what} has {rank} dimensions, but 1 to {MostDimensions} are possible");
        long[] shape = new long[rank];
        ulong count = 1;
        for (int i = (int)rank - 1; i >= 0; i--)   // GGUF lists the contiguous dimension first
        {
            ulong size = reader.UInt64(what);
            if (size is 0 or > long.MaxValue || count > long.MaxValue / size) throw reader.Malformed($"{what} has a dimension of {size}, which cannot be");
            count *= size;
            shape[i] = (long)size;
        }
        uint number = reader.UInt32(what);
        GgufType type = GgufType.Find(number) ?? throw reader.Malformed($"{what} has the unknown type {number}");
        if (shape[^1] % type.BlockSize != 0) throw reader.Malformed($"{what} has rows of {shape[^1]}, but {type.Name} comes in blocks of {type.BlockSize}");
        return (name, type, shape, reader.UInt64(what));
    }

    private void Place(GgufReader reader, string name, GgufType type, long[] shape, ulong offset, long data, long alignment)
    {
        string what = $"tensor {SafeTensorsText.Quote(name)}";
        long blocks = shape.Aggregate(1L, (product, size) => product * size) / type.BlockSize;
        if (blocks > long.MaxValue / type.BlockBytes) throw reader.Malformed($"{what} needs more bytes than a file can have");
        long bytes = blocks * type.BlockBytes;
        if (offset % (ulong)alignment != 0) throw reader.Malformed($"{what} begins at byte {offset} of the data, which is no multiple of the alignment {alignment}");
        if (data > _file.Length || bytes > _file.Length - data || offset > (ulong)(_file.Length - data - bytes))
            throw reader.Malformed($"{what} reaches beyond the end of the file");
        GgufTensor tensor = new(name, type.Name, shape, data + (long)offset, bytes);
        if (!_tensors.TryAdd(name, (tensor, type))) throw reader.Malformed($"the tensor name {SafeTensorsText.Quote(name)} is there twice");
        _list.Add(tensor);
    }

    private void CheckOverlap(GgufReader reader)
    {
        GgufTensor? last = null;
        foreach (GgufTensor tensor in _list.OrderBy(tensor => tensor.Offset))
        {
            if (last is not null && last.Offset + last.ByteCount > tensor.Offset)
                throw reader.Malformed($"tensors {SafeTensorsText.Quote(last.Name)} and {SafeTensorsText.Quote(tensor.Name)} share bytes");
            last = tensor;
        }
    }

    private UserException NotGguf(ReadOnlySpan<byte> head)
    {
        if (head.IsEmpty) return new UserException($"{Path} is empty (0 bytes): whatever should have filled it did not finish; download it again.");
        string? mistake = IsSafeTensors(head) ? "a safetensors file: give the folder that it lies in" : SafeTensorsMistakes.Recognise(head);
        return new UserException(mistake is null
            ? $"{Path} is not a GGUF file, for it does not begin with the letters GGUF: check the name, or download it again."
            : $"{Path} is not a GGUF file but {mistake}.");
    }

    /// <summary>The length of a header in eight bytes, and the header, a JSON object.</summary>
    private static bool IsSafeTensors(ReadOnlySpan<byte> head) =>
        head.Length > 8 && head[8] == '{' && BinaryPrimitives.ReadUInt64LittleEndian(head) <= SafeTensorsHeader.MaxBytes;

    private Value List(string key) => !_metadata.TryGetValue(key, out Value value) ? throw Missing(key)
        : value.Count < 0 || value.Count > int.MaxValue ? throw Wrong(key, "a list")
        : value;

    private bool Single(string key, uint type, string kind, out int at)
    {
        bool found = _metadata.TryGetValue(key, out Value value);
        if (found && (value.Type != type || value.Count >= 0)) throw Wrong(key, kind);
        at = value.Position;
        return found;
    }

    private string TextAt(ref int at)
    {
        int length = (int)BinaryPrimitives.ReadUInt64LittleEndian(_file.Span(at, 8));
        string text = Encoding.UTF8.GetString(_file.Span(at + 8, length));
        at += 8 + length;
        return text;
    }

    private double? NumberAt(uint type, int at)
    {
        if (GgufReader.SizeOf(type) is not { } size) return null;
        ReadOnlySpan<byte> bytes = _file.Span(at, size);
        return type switch
        {
            0 => bytes[0],
            1 => (sbyte)bytes[0],
            2 => BinaryPrimitives.ReadUInt16LittleEndian(bytes),
            3 => BinaryPrimitives.ReadInt16LittleEndian(bytes),
            4 => BinaryPrimitives.ReadUInt32LittleEndian(bytes),
            5 => BinaryPrimitives.ReadInt32LittleEndian(bytes),
            6 => BinaryPrimitives.ReadSingleLittleEndian(bytes),
            10 => BinaryPrimitives.ReadUInt64LittleEndian(bytes),
            11 => BinaryPrimitives.ReadInt64LittleEndian(bytes),
            12 => BinaryPrimitives.ReadDoubleLittleEndian(bytes),
            _ => null,
        };
    }

    private UserException Missing(string key) => new($"{Path}: the metadata has no {key}, so this is no complete model.");

    private UserException Wrong(string key, string kind) => new($"{Path}: {key} is of another kind than it must be, {kind}.");
}
