namespace QSharp.Model;

/// <summary>
/// Which prompts lie in the caches of a batch, and which of them each row goes on from. A prompt is read once: rows that start from
/// one that is there share it, whether or not others still use it. A new one takes the place of one that no row uses.
/// </summary>
/// <param name="count">Prompts that the caches have room for, at least one a row.</param>
internal sealed class PromptSlots(int rows, int count, int promptTokens)
{
    private readonly int[] _tokens = new int[count * promptTokens], _lengths = new int[count], _users = new int[count], _versions = new int[count];
    private readonly int[] _of = new int[rows];
    private int _next, _version;

    public int Count => count;

    /// <summary>[R]: the slot of each row. A row that is idle has the last one it used.</summary>
    public ReadOnlySpan<int> Of => _of;

    public ReadOnlySpan<int> Prompt(int slot) => _tokens.AsSpan(slot * promptTokens, _lengths[slot]);

    /// <summary>Another one for each prompt that a slot takes; 0 where there is none.</summary>
    public int Version(int slot) => _versions[slot];

    public bool IsUsed(int slot) => _users[slot] > 0;

    /// <summary>Makes all rows idle.</summary>
    /// <param name="keepsPrompts">Whether what was read stays valid.</param>
    public void Reset(bool keepsPrompts)
    {
        Array.Clear(_users);
        if (keepsPrompts) return;
        Array.Clear(_versions);
        Array.Clear(_of);
        _next = 0;
    }

    /// <summary>A row starts from a prompt.</summary>
    public void Take(int row, ReadOnlySpan<int> prompt)
    {
        int slot = Find(prompt);
        if (slot < 0)
        {
            slot = Unused();
            prompt.CopyTo(_tokens.AsSpan(slot * promptTokens));
            _lengths[slot] = prompt.Length;
            _versions[slot] = ++_version;
        }
        _users[slot]++;
        _of[row] = slot;
    }

    /// <summary>A row has ended.</summary>
    public void Release(int row) => _users[_of[row]]--;

    /// <summary>Idle rows are computed with the others, so they must read a prompt that is there: another row's.</summary>
    public void Park(int row, int like) => _of[row] = _of[like];

    private int Find(ReadOnlySpan<int> prompt)
    {
        for (int slot = 0; slot < count; slot++)
            if (_versions[slot] > 0 && Prompt(slot).SequenceEqual(prompt)) return slot;
        return -1;
    }

    /// <summary>In turn, so that prompts that come together lie together, and the oldest goes first.</summary>
    private int Unused()
    {
        while (_users[_next] > 0) _next = (_next + 1) % count;
        int slot = _next;
        _next = (_next + 1) % count;
        return slot;
    }
}
