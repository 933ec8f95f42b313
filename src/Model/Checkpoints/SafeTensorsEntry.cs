namespace QSharp.Model;

/// <summary>One tensor of a safetensors file: where it lies and what it is.</summary>
/// <param name="Name">Its name, unique in the file.</param>
/// <param name="DType">The element type as the format spells it: F32, BF16, I64, …</param>
/// <param name="Shape">Sizes, slowest first; empty for a single element.</param>
/// <param name="Offset">The first byte, counted from the start of the file.</param>
/// <param name="ByteCount">How many bytes it has: elements × bits / 8.</param>
public sealed record SafeTensorsEntry(string Name, string DType, long[] Shape, long Offset, long ByteCount)
{
    /// <summary>How many elements there are.</summary>
    public long Count => checked(ByteCount * 8) / SafeTensorsTypes.Bits(DType);

    public override string ToString() => $"{SafeTensorsText.Quote(Name)} {DType} [{string.Join(", ", Shape)}]";
}

/// <summary>
/// The element types of the format, in the order of the reference library's enumeration (safetensors, tensor.rs):
/// rising alignment. A writer that follows it lays the widest types first, so that all of them end up aligned.
/// </summary>
internal static class SafeTensorsTypes
{
    private static readonly (string Name, int Bits)[] _all =
    [
        ("BOOL", 8), ("F4", 4), ("F6_E2M3", 6), ("F6_E3M2", 6), ("U8", 8), ("I8", 8), ("F8_E5M2", 8), ("F8_E4M3", 8), ("F8_E8M0", 8),
        ("F8_E4M3FNUZ", 8), ("F8_E5M2FNUZ", 8), ("I16", 16), ("U16", 16), ("F16", 16), ("BF16", 16), ("I32", 32), ("U32", 32), ("F32", 32),
        ("C64", 64), ("F64", 64), ("I64", 64), ("U64", 64),
    ];

    /// <summary>The place of a type in the reference order, or −1 if there is no such type.</summary>
    public static int Rank(string name) => Array.FindIndex(_all, type => type.Name == name);

    /// <summary>The one string that stands for a type, so that a file of many tensors keeps no copies of it.</summary>
    public static string Name(int rank) => _all[rank].Name;

    /// <summary>Bits of one element; the F4 and F6 types do not fill whole bytes.</summary>
    public static int Bits(string name)
    {
        int rank = Rank(name);
        return rank >= 0 ? _all[rank].Bits : throw new ArgumentException($"\"{name}\" is no safetensors element type.", nameof(name));
    }

    /// <summary>Bytes of a tensor; null if the count overflows 64 bits or the bits do not fill whole bytes.</summary>
    public static ulong? ByteCount(string type, ReadOnlySpan<long> shape)
    {
        // Multiplied in order as the reference does, so that [2⁴⁰, 2⁴⁰, 0] is an overflow and not an empty tensor.
        ulong bits = 1;
        foreach (long size in shape)
            if (Math.BigMul(bits, (ulong)size, out bits) != 0) return null;
        if (Math.BigMul(bits, (ulong)Bits(type), out bits) != 0 || bits % 8 != 0) return null;
        return bits / 8;
    }
}

/// <summary>Texts from a file, made fit for a message of one line.</summary>
internal static class SafeTensorsText
{
    private const int Longest = 80;

    /// <summary>The text in quotation marks, cleaned.</summary>
    public static string Quote(string text) => $"\"{Clean(text)}\"";

    /// <summary>The text shortened, with question marks for control characters.</summary>
    public static string Clean(string text)
    {
        string head = text.Length <= Longest ? text : string.Concat(text.AsSpan(0, Longest - 1), "…");
        return string.Create(head.Length, head, static (span, from) =>
        {
            for (int i = 0; i < span.Length; i++) span[i] = char.IsControl(from[i]) ? '?' : from[i];
        });
    }
}
