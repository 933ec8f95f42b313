using System.Text;

namespace QSharp.Model;

/// <summary>What two neighbours become.</summary>
/// <param name="Rank">The lowest goes first.</param>
/// <param name="Id">The token that they become.</param>
internal readonly record struct Merge(int Rank, int Id);

/// <summary>How characters without a token are treated.</summary>
/// <param name="IgnoreMerges">A piece that is a token as a whole is that token, whatever the merges say.</param>
/// <param name="ByteFallback">A character without a token is spelt in its bytes' tokens, if it has them all.</param>
/// <param name="UnknownId">Stands for a character with neither; null drops it.</param>
/// <param name="FuseUnknown">Neighbours without a token are one unknown.</param>
internal sealed record BpeRules(bool IgnoreMerges, bool ByteFallback, int? UnknownId, bool FuseUnknown);

/// <summary>Byte-pair encoding: a piece is spelt in the tokens of its characters, which are then joined pair by pair.</summary>
internal sealed class BpeModel
{
    private const int None = -1;
    private readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> _lookup;
    private readonly int[] _idOfChar = new int[char.MaxValue + 1];
    private readonly int[] _idOfByte = new int[256];
    private readonly BpeRules _rules;

    /// <param name="merges">By <see cref="Pair"/>.</param>
    public BpeModel(Dictionary<string, int> vocabulary, Dictionary<ulong, Merge> merges, BpeRules rules)
    {
        (Vocabulary, Merges, _rules) = (vocabulary, merges, rules);
        _lookup = vocabulary.GetAlternateLookup<ReadOnlySpan<char>>();
        Array.Fill(_idOfChar, None);
        foreach ((string token, int id) in vocabulary)
            if (token.Length == 1) _idOfChar[token[0]] = id;
        for (int value = 0; value < 256; value++) _idOfByte[value] = vocabulary.GetValueOrDefault($"<0x{value:X2}>", None);
    }

    public Dictionary<string, int> Vocabulary { get; }

    public Dictionary<ulong, Merge> Merges { get; }

    /// <summary>
    /// A key for two tokens, another one for each two. The odd factor spreads it: the dictionary takes the halves of a key against each
    /// other, so that every pair of a token with itself would lie in one place.
    /// </summary>
    public static ulong Pair(int left, int right) => (((ulong)(uint)left << 32) | (uint)right) * 0x9E3779B97F4A7C15;

    /// <summary>Adds the ids of one piece.</summary>
    /// <param name="joiner">Made for <see cref="Merges"/>; it holds memory that pieces share.</param>
    public void Encode(ReadOnlySpan<char> piece, PairJoiner joiner, List<int> ids)
    {
        if (_rules.IgnoreMerges && _lookup.TryGetValue(piece, out int whole))
        {
            ids.Add(whole);
            return;
        }
        int start = ids.Count;
        AddCharacters(piece, ids);
        joiner.Join(ids, start);
    }

    private void AddCharacters(ReadOnlySpan<char> piece, List<int> ids)
    {
        bool unknown = false;   // an unknown that is still to be added
        int length;
        for (int at = 0; at < piece.Length; at += length)
        {
            length = char.IsHighSurrogate(piece[at]) ? 2 : 1;
            ReadOnlySpan<char> character = piece.Slice(at, length);
            int id = length == 1 ? _idOfChar[piece[at]] : _lookup.TryGetValue(character, out int found) ? found : None;
            if (id != None)
            {
                if (unknown) ids.Add(_rules.UnknownId!.Value);
                unknown = false;
                ids.Add(id);
            }
            else if (!(_rules.ByteFallback && AddBytes(character, ids)) && _rules.UnknownId is int unknownId)
            {
                if (unknown && !_rules.FuseUnknown) ids.Add(unknownId);
                unknown = true;
            }
        }
        if (unknown) ids.Add(_rules.UnknownId!.Value);
    }

    /// <summary>Adds a character as the tokens of its bytes, if each has one.</summary>
    private bool AddBytes(ReadOnlySpan<char> character, List<int> ids)
    {
        Span<byte> bytes = stackalloc byte[4];
        bytes = bytes[..Encoding.UTF8.GetBytes(character, bytes)];
        foreach (byte value in bytes)
            if (_idOfByte[value] == None) return false;
        foreach (byte value in bytes) ids.Add(_idOfByte[value]);
        return true;
    }
}
