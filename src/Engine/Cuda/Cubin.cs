using System.Buffers.Binary;
using System.Text;

namespace QSharp.Engine;

/// <summary>Reads what the compiler wrote down beside a kernel's code: a cubin is an ELF file with a section ".nv.info.KERNEL" of attributes.</summary>
internal static class Cubin
{
    private const string AttributesOf = ".nv.info.";
    private const int SectionTable = 0x28, SectionEntryBytes = 0x3A, SectionOffset = 0x18, SectionBytes = 0x20;   // offsets in ELF's 64-bit headers
    private const int MaxThreads = 5, SizedValue = 4, MostThreadsOfAnyBlock = 1024;

    /// <summary>Threads of the largest block that each kernel was compiled for, its __launch_bounds__, by the kernel's symbol.</summary>
    public static IReadOnlyDictionary<string, int> Threads(ReadOnlySpan<byte> image)
    {
        Dictionary<string, int> threads = [];
        int table = (int)BinaryPrimitives.ReadInt64LittleEndian(image[SectionTable..]), entry = Half(image, SectionEntryBytes);
        int sections = Half(image, SectionEntryBytes + 2), names = Section(image, table + Half(image, SectionEntryBytes + 4) * entry).Offset;
        for (int i = 0; i < sections; i++)
        {
            (int offset, int bytes) = Section(image, table + i * entry);
            ReadOnlySpan<byte> rest = image[(names + Word(image, table + i * entry))..];
            string name = Encoding.UTF8.GetString(rest[..rest.IndexOf((byte)0)]);
            if (name.StartsWith(AttributesOf, StringComparison.Ordinal)) threads[name[AttributesOf.Length..]] = Threads(image.Slice(offset, bytes), MostThreadsOfAnyBlock);
        }
        return threads;
    }

    /// <summary>An attribute is a format, a number, and a value of two bytes; with one format that is the size of a value behind it.</summary>
    private static int Threads(ReadOnlySpan<byte> attributes, int otherwise)
    {
        for (int at = 0; at < attributes.Length; at += 4 + (attributes[at] == SizedValue ? Half(attributes, at + 2) : 0))
            if (attributes[at] == SizedValue && attributes[at + 1] == MaxThreads)
                return Word(attributes, at + 4) * Word(attributes, at + 8) * Word(attributes, at + 12);
        return otherwise;
    }

    private static (int Offset, int Bytes) Section(ReadOnlySpan<byte> image, int header) =>
        ((int)BinaryPrimitives.ReadInt64LittleEndian(image[(header + SectionOffset)..]), (int)BinaryPrimitives.ReadInt64LittleEndian(image[(header + SectionBytes)..]));

    private static int Word(ReadOnlySpan<byte> bytes, int at) => BinaryPrimitives.ReadInt32LittleEndian(bytes[at..]);

    private static int Half(ReadOnlySpan<byte> bytes, int at) => BinaryPrimitives.ReadUInt16LittleEndian(bytes[at..]);
}
