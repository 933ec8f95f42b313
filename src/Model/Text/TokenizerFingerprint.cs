using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;

namespace QSharp.Model;

/// <summary>Hashes what a tokenizer does to a text.</summary>
internal static class TokenizerFingerprint
{
    /// <param name="tokens">The text of each id.</param>
    /// <param name="meaning">How a text is normalized and cut.</param>
    public static string Of(string?[] tokens, Dictionary<ulong, Merge> merges, IEnumerable<int> special, string meaning)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        for (int id = 0; id < tokens.Length; id++)
            if (tokens[id] is { } token) Append(hash, id, token);
        foreach ((ulong pair, Merge merge) in merges.OrderBy(each => each.Value.Rank)) hash.AppendData(MemoryMarshal.AsBytes<ulong>([pair, (ulong)merge.Id]));
        hash.AppendData(MemoryMarshal.AsBytes<int>([.. special.Order()]));
        Append(hash, tokens.Length, meaning);
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <summary>Appends a text with its length, so that neighbours cannot pass into each other.</summary>
    private static void Append(IncrementalHash hash, int number, string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        hash.AppendData(MemoryMarshal.AsBytes<int>([number, bytes.Length]));
        hash.AppendData(bytes);
    }
}
