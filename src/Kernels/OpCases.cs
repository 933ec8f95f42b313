namespace QSharp.Kernels;

/// <summary>Every case, one line each, in the order of the folders.</summary>
internal static class OpCases
{
    public static IReadOnlyList<OpCase> All { get; } =
    [
        new GeluCase(),
        new AttentionCase(),
        new CachedAttentionCase(),
        new KvWriteCase(),
        new KvKeepCase(),
        new AdvanceCase(),
    ];
}
