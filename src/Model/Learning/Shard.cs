namespace QSharp.Model;

/// <summary>
/// A part of a data set that one process collects: the problems p with p mod n = i. Its samples have the numbers that they have in
/// the whole, so all shards together are the data set that one process would have made.
/// </summary>
/// <param name="Index">i, from 0.</param>
/// <param name="Count">n; 1: the whole.</param>
public readonly record struct Shard(int Index, int Count)
{
    public static Shard Whole { get; } = new(0, 1);

    public bool IsWhole => Count == 1;

    /// <summary>Of file names: nothing for the whole, <c>-2-of-3</c> for the second of three shards.</summary>
    public string Suffix => IsWhole ? "" : $"-{Index + 1}-of-{Count}";

    /// <summary>Number of the shard's sample <paramref name="ordinal"/> in the whole data set.</summary>
    public long Sample(long ordinal, int samplesPerProblem) =>
        (ordinal / samplesPerProblem * Count + Index) * samplesPerProblem + ordinal % samplesPerProblem;

    /// <summary>How many of the first <paramref name="total"/> samples of the whole are the shard's.</summary>
    public long Samples(long total, int samplesPerProblem)
    {
        long turn = (long)samplesPerProblem * Count, turns = total / turn, rest = total % turn;
        return turns * samplesPerProblem + Math.Clamp(rest - (long)Index * samplesPerProblem, 0, samplesPerProblem);
    }

    /// <summary>Reads i/n, i from 1.</summary>
    public static Shard? Parse(string text) =>
        text.Split('/') is [var index, var count] && int.TryParse(index, out int i) && int.TryParse(count, out int n) && i >= 1 && i <= n ? new Shard(i - 1, n) : null;

    /// <summary>Reads the suffix of a file's name; null where it is none.</summary>
    public static Shard? OfSuffix(string suffix) =>
        suffix.Length == 0 ? Whole : suffix.StartsWith('-') && Parse(suffix[1..].Replace("-of-", "/", StringComparison.Ordinal)) is { } shard && shard.Suffix == suffix ? shard : null;
}
