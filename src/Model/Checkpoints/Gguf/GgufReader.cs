using System.Buffers.Binary;
using System.Text;

using QSharp.Engine;

namespace QSharp.Model;

/// <summary>
/// A cursor over the head of a GGUF file. Every length is compared with what is left of the file before anything is made of
/// it; a file that ends early is one sentence.
/// </summary>
internal ref struct GgufReader(string path, ReadOnlySpan<byte> bytes)
{
    public const uint Bool = 7, String = 8, Array = 9;

    // Deeper nesting has no use, and a reader that follows it needs a stack as deep.
    private const int MostNested = 4;

    private readonly ReadOnlySpan<byte> _bytes = bytes;

    public int Position { get; private set; }

    public uint UInt32(string what) => BinaryPrimitives.ReadUInt32LittleEndian(Take(4, what));

    public ulong UInt64(string what) => BinaryPrimitives.ReadUInt64LittleEndian(Take(8, what));

    /// <summary>A length in bytes and that many bytes of UTF-8.</summary>
    public string Text(string what) => Encoding.UTF8.GetString(TextBytes(what));

    /// <summary>Moves past a value of a type.</summary>
    public void Skip(uint type, string what, int depth = 0)
    {
        if (SizeOf(type) is { } size)
        {
            Take(size, what);
            return;
        }
        if (type == String)
        {
            TextBytes(what);
            return;
        }
        if (type != Array) throw Malformed($"{what} has the unknown value type {type}");
        if (depth == MostNested) throw Malformed($"{what} holds lists nested deeper than {MostNested} levels");
        uint element = UInt32(what);
        ulong count = UInt64(what);
        if (SizeOf(element) is { } elementSize)
        {
            if (count > (ulong)((_bytes.Length - Position) / elementSize))
                throw Malformed($"{what} announces {count} items, more than the rest of the file can hold");
            Take((int)count * elementSize, what);
            return;
        }
        if (element is not (String or Array)) throw Malformed($"{what} is a list of the unknown value type {element}");
        // A text or a list takes 8 bytes at least, so the count cannot keep this going for long.
        if (count > (ulong)(_bytes.Length - Position) / 8) throw Malformed($"{what} announces {count} items, more than the rest of the file can hold");
        if (element == String) SkipTexts(count, what);
        else for (ulong i = 0; i < count; i++) Skip(element, what, depth + 1);
    }

    /// <summary>Bytes of a value of a type of fixed size; null for texts, lists and unknown types.</summary>
    public static int? SizeOf(uint type) => type switch
    {
        0 or 1 or Bool => 1,    // uint8, int8, bool
        2 or 3 => 2,            // uint16, int16
        4 or 5 or 6 => 4,       // uint32, int32, float32
        10 or 11 or 12 => 8,    // uint64, int64, float64
        _ => null,
    };

    public readonly UserException Malformed(string problem) =>
        new($"{path}: {problem} (near byte {Position}): the file is damaged or was written wrongly; download or export it again.");

    /// <summary>A vocabulary is a quarter of a million of them, so this loop is what opening a file costs.</summary>
    private void SkipTexts(ulong count, string what)
    {
        int at = Position;
        for (; count > 0; count--)
        {
            ulong left = (ulong)(_bytes.Length - at);
            if (left < 8 || BinaryPrimitives.ReadUInt64LittleEndian(_bytes[at..]) > left - 8) break;
            at += 8 + (int)BinaryPrimitives.ReadUInt64LittleEndian(_bytes[at..]);
        }
        Position = at;
        if (count > 0) TextBytes(what);   // says what is wrong with this one
    }

    private ReadOnlySpan<byte> TextBytes(string what)
    {
        ulong length = UInt64(what);
        if (length > (ulong)(_bytes.Length - Position)) throw Malformed($"{what} announces a text of {length} bytes, more than the rest of the file holds");
        return Take((int)length, what);
    }

    private ReadOnlySpan<byte> Take(int count, string what)
    {
        if (count > _bytes.Length - Position) throw Malformed($"the file ends within {what}");
        ReadOnlySpan<byte> taken = _bytes.Slice(Position, count);
        Position += count;
        return taken;
    }
}
