using System.Runtime.InteropServices;

namespace QSharp.Model;

/// <summary>
/// Joins neighbouring tokens, the pair of the lowest rank first and the leftmost of equals, until no pair of neighbours has a rank.
/// A queue holds the candidates, so n tokens take O(n log n) time. One thread at a time.
/// </summary>
/// <param name="merges">By <see cref="BpeModel.Pair"/>.</param>
internal sealed class PairJoiner(Dictionary<ulong, Merge> merges)
{
    private const int Gone = -1;

    /// <summary>What the pair that begins at a place becomes, by rank and then place. Some are out of date when their turn comes.</summary>
    private readonly PriorityQueue<int, ulong> _queue = new();
    private int[] _next = [], _previous = [];

    /// <summary>Joins the tokens of a list from a place on.</summary>
    public void Join(List<int> ids, int start)
    {
        Span<int> tokens = CollectionsMarshal.AsSpan(ids)[start..];
        Link(tokens.Length);
        for (int i = 0; i < tokens.Length; i++) Offer(tokens, i);
        while (_queue.TryDequeue(out int joined, out ulong priority))
        {
            int left = (int)(uint)priority;
            if (tokens[left] == Gone || Find(tokens, left) is not { } merge || merge.Id != joined) continue;
            int right = _next[left], after = _next[right];
            (tokens[left], tokens[right]) = (joined, Gone);
            _next[left] = after;
            if (after < tokens.Length) _previous[after] = left;
            if (left > 0) Offer(tokens, _previous[left]);
            Offer(tokens, left);
        }
        int kept = 0;
        foreach (int token in tokens)
            if (token != Gone) tokens[kept++] = token;
        ids.RemoveRange(start + kept, tokens.Length - kept);
    }

    private void Link(int count)
    {
        if (_next.Length < count) (_next, _previous) = (new int[2 * count], new int[2 * count]);
        for (int i = 0; i < count; i++) (_next[i], _previous[i]) = (i + 1, i - 1);
    }

    private void Offer(ReadOnlySpan<int> tokens, int left)
    {
        if (Find(tokens, left) is { } merge) _queue.Enqueue(merge.Id, ((ulong)(uint)merge.Rank << 32) | (uint)left);
    }

    private Merge? Find(ReadOnlySpan<int> tokens, int left)
    {
        int right = _next[left];
        return right < tokens.Length && merges.TryGetValue(BpeModel.Pair(tokens[left], tokens[right]), out Merge merge) ? merge : null;
    }
}
