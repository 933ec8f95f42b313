namespace QSharp.Kernels;

/// <summary>Every case, one line each, in the order of the folders.</summary>
internal static class OpCases
{
    public static IReadOnlyList<OpCase> All { get; } =
    [
        new EmbeddingCase(),
        new LayerNormCase(),
        new GeluCase(),
        new AddCase(),
        new GlobalNormCase(),
        new AdamWCase(),
        new FillCase(),
        new CopyCase(),
        new GatherCase(),
    ];
}
