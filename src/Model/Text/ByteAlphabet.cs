namespace QSharp.Model;

/// <summary>
/// The alphabet of byte-level vocabularies: each of the 256 bytes as one printable character (GPT-2's <c>bytes_to_unicode</c>), so that a
/// space reads 'Ġ' and a vocabulary is text whatever bytes its tokens hold.
/// </summary>
internal static class ByteAlphabet
{
    private static readonly char[] Chars = new char[256];
    private static readonly short[] Bytes = new short[512];

    static ByteAlphabet()
    {
        Array.Fill(Bytes, (short)-1);
        int next = 256;
        for (int value = 0; value < 256; value++)
        {
            bool printable = value is >= '!' and <= '~' or >= 0xA1 and <= 0xAC or >= 0xAE;
            Chars[value] = printable ? (char)value : (char)next++;
            Bytes[Chars[value]] = (short)value;
        }
    }

    public static char CharOf(byte value) => Chars[value];

    /// <summary>The byte that a character stands for, or -1.</summary>
    public static int ByteOf(char character) => character < Bytes.Length ? Bytes[character] : -1;
}
