using System.Text.Json;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// Reads the two JSON texts of the format, a file's header and a folder's index, token by token: no tree is built,
/// nothing recurses, and every list grows with the text that fills it. Every fault is a <see cref="UserException"/>.
/// </summary>
internal ref struct SafeTensorsJson
{
    private const string Metadata = "__metadata__";
    private const int MaxDepth = 64;
    private readonly string _path;
    private readonly string _what;
    private readonly long _start;
    private Utf8JsonReader _reader;

    /// <param name="path">The file, for messages.</param>
    /// <param name="json">The text, valid UTF-8.</param>
    /// <param name="what">What the text is called in messages.</param>
    /// <param name="start">Where in the file it starts.</param>
    public SafeTensorsJson(string path, ReadOnlySpan<byte> json, string what, long start)
    {
        (_path, _what, _start) = (path, what, start);
        _reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = MaxDepth });
    }

    /// <summary>The header: {"dtype", "shape", "data_offsets"} by tensor name; offsets still counted from the start of the data.</summary>
    public List<SafeTensorsEntry> Header(out Dictionary<string, string> metadata)
    {
        List<SafeTensorsEntry> entries = [];
        HashSet<string> names = [];
        metadata = [];
        Next();
        while (Next() == JsonTokenType.PropertyName)
        {
            string name = Text();
            if (!names.Add(name)) throw Wrong($"the name {SafeTensorsText.Quote(name)} is there twice");
            if (name == Metadata) metadata = Texts(Metadata);
            else entries.Add(Tensor(name));
        }
        End();
        return entries;
    }

    /// <summary>The index: which file holds which tensor, from "weight_map".</summary>
    public Dictionary<string, string> Index()
    {
        Dictionary<string, string>? files = null;
        if (Next() != JsonTokenType.StartObject) throw Wrong("it is not a JSON object");
        while (Next() == JsonTokenType.PropertyName)
        {
            if (Text() != "weight_map") Pass();
            else if (files is not null) throw Wrong("\"weight_map\" is there twice");
            else files = Texts("weight_map");
        }
        End();
        return files ?? throw Wrong("\"weight_map\", which says where each tensor is, is missing");
    }

    private SafeTensorsEntry Tensor(string name)
    {
        string? type = null;
        long[]? shape = null, offsets = null;
        if (Next() != JsonTokenType.StartObject) throw Wrong(name, "is not described by a JSON object");
        while (Next() == JsonTokenType.PropertyName)
        {
            string field = Text();
            bool again = false;
            switch (field)
            {
                case "dtype":
                    again = type is not null;
                    type = Type(name);
                    break;
                case "shape":
                    again = shape is not null;
                    shape = Numbers(name, "shape");
                    break;
                case "data_offsets":
                    again = offsets is not null;
                    offsets = Numbers(name, "data_offsets");
                    break;
                default:
                    Pass();   // the reference library passes over fields that it does not know, too
                    break;
            }
            if (again) throw Wrong(name, $"gives its {field} twice");
        }
        if (type is null) throw Wrong(name, "has no dtype");
        if (shape is null) throw Wrong(name, "has no shape");
        if (offsets is null) throw Wrong(name, "has no data_offsets");
        if (offsets.Length != 2) throw Wrong(name, $"has {offsets.Length} data_offsets where begin and end belong");
        (long begin, long end) = (offsets[0], offsets[1]);
        if (end < begin) throw Wrong(name, $"ends at byte {end}, before it begins at {begin}");
        ulong? bytes = SafeTensorsTypes.ByteCount(type, shape);
        if (bytes is null)
            throw Wrong(name, $"has a shape, {Show(shape)} of {type}, that does not come to a whole number of bytes within "
                + "64 bits");
        if (bytes != (ulong)(end - begin))
            throw Wrong(name, $"has a shape, {Show(shape)} of {type}, that needs {bytes} bytes, but data_offsets [{begin}, {end}] give it "
                + $"{end - begin}");
        return new SafeTensorsEntry(name, type, shape, begin, end - begin);
    }

    private string Type(string name)
    {
        if (Next() != JsonTokenType.String) throw Wrong(name, "has a dtype that is not a text");
        string type = Text();
        int rank = SafeTensorsTypes.Rank(type);
        return rank >= 0 ? SafeTensorsTypes.Name(rank) : throw Wrong(name, $"has the unknown dtype {SafeTensorsText.Quote(type)}");
    }

    private long[] Numbers(string name, string field)
    {
        if (Next() != JsonTokenType.StartArray) throw Wrong(name, $"has a {field} that is not a list");
        List<long> numbers = [];
        while (Next() != JsonTokenType.EndArray)
        {
            if (_reader.TokenType != JsonTokenType.Number || !_reader.TryGetInt64(out long number) || number < 0)
                throw Wrong(name, $"has a {field} whose item {numbers.Count} is not a whole number from 0 to 2^63 - 1");
            numbers.Add(number);
        }
        return [.. numbers];
    }

    /// <summary>An object of texts; null stands for none.</summary>
    private Dictionary<string, string> Texts(string what)
    {
        Dictionary<string, string> texts = [];
        if (Next() == JsonTokenType.Null) return texts;
        if (_reader.TokenType != JsonTokenType.StartObject) throw Wrong($"\"{what}\" is not an object of texts");
        while (Next() == JsonTokenType.PropertyName)
        {
            string key = Text();
            if (Next() != JsonTokenType.String) throw Wrong($"\"{what}\" has a value at {SafeTensorsText.Quote(key)} that is not a text");
            if (!texts.TryAdd(key, Text())) throw Wrong($"\"{what}\" has {SafeTensorsText.Quote(key)} twice");
        }
        return texts;
    }

    /// <summary>Passes over one value, however deep (as far as the reader's limit).</summary>
    private void Pass()
    {
        int depth = _reader.CurrentDepth;
        do Next();
        while (_reader.CurrentDepth > depth || _reader.TokenType is JsonTokenType.StartObject or JsonTokenType.StartArray);
    }

    private JsonTokenType Next()
    {
        try
        {
            return _reader.Read() ? _reader.TokenType : JsonTokenType.None;
        }
        catch (JsonException)
        {
            throw Wrong(_reader.CurrentDepth >= MaxDepth ? $"it is nested deeper than {MaxDepth} levels" : "it is not valid JSON");
        }
    }

    private string Text()
    {
        try
        {
            return _reader.GetString()!;
        }
        catch (InvalidOperationException)
        {
            throw Wrong("a text has half of a surrogate pair as an escape");
        }
    }

    private void End()
    {
        // Only spaces may follow; anything else makes the reader throw.
        if (Next() != JsonTokenType.None) throw Wrong("more than one JSON value is there");
    }

    private readonly UserException Wrong(string name, string fault) => Wrong($"tensor {SafeTensorsText.Quote(name)} {fault}");

    private readonly UserException Wrong(string fault) =>
        new($"{_path}: {fault} ({_what}, near byte {_start + _reader.BytesConsumed}): the file is damaged or was written wrongly; "
            + "download or export it again.");

    private static string Show(long[] shape) =>
        shape.Length <= 8 ? $"[{string.Join(", ", shape)}]" : $"[{string.Join(", ", shape.Take(8))}, … {shape.Length} sizes]";
}
