using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>A reference, a guide of another size, and prompts of different lengths.</summary>
internal sealed class SamplerRig : IDisposable
{
    public const int Rows = 5, PromptTokens = 6, NewTokens = 8, Candidates = 5, Vocab = 37;
    public const ulong Key = 0x5EED_0000_1234;

    private static readonly int[] PromptLengths = [6, 3, 4, 2, 5];

    public SamplerRig(string architecture, HeadKind kind, FamilyKind family, bool isBidirectional = false, bool hasPromptValue = false)
    {
        Device = new CpuDevice(1);
        Ops = Ops.For(Device);
        Family = family == FamilyKind.Bernoulli ? ReturnFamily.Bernoulli : ReturnFamily.Categorical(-0.5f, 1, 7);
        Reference = TestModels.Language(Ops, TestModels.Config(architecture, Vocab), 11);
        // Logits of a tied head are wide; narrower ones make every token likely enough to be seen.
        foreach (ref float weight in Reference.Weights.FinalNorm.Span<float>()) weight *= 0.4f;
        // In a single layer no token sees what the prompt's tokens have seen of one another.
        TransformerConfig small = TestModels.Config(architecture, Vocab, layers: isBidirectional ? 2 : 1);
        Guide = TestModels.Value(Ops, small, new ValueSettings(kind, Family, isBidirectional) { HasPromptValue = hasPromptValue }, 12);
    }

    public CpuDevice Device { get; }

    public Ops Ops { get; }

    public ReturnFamily Family { get; }

    public LanguageModel Reference { get; }

    public ValueModel Guide { get; }

    public static int[] Prompt(int row) => TestModels.RandomTokens(200 + (ulong)row, PromptLengths[row], Vocab);

    public static int Limit(int row) => NewTokens - row % 3;

    public static int Stream(int row) => 1000 + 7 * row;

    public SampleBatch NewBatch()
    {
        SampleBatch batch = new(Rows, PromptTokens, NewTokens);
        for (int row = 0; row < Rows; row++) batch.Add(Prompt(row), Limit(row), Stream(row));
        return batch;
    }

    public static SamplerShape Shape { get; } = new(Rows, PromptTokens, NewTokens, Candidates);

    public Sampler NewSampler(Guidance guidance, int candidates = Candidates) =>
        new(Reference, Guide, guidance, Shape with { Candidates = candidates }, []);

    public static void Draw(Sampler sampler, SampleBatch batch, GuidanceRule rule, ulong key = Key) =>
        sampler.Run(batch, rule, key, TestContext.Current.CancellationToken);

    public static ReadOnlySpan<float> Statistics(SampleBatch batch, int row, int token) =>
        batch.Statistics.AsSpan((row * batch.NewTokens + token) * SampleStatistics.Count, SampleStatistics.Count);

    /// <summary>The float64 oracle of the next token after a prefix, from passes over whole rows.</summary>
    public GuidedStep Exact(GuidanceRule rule, int[] prefix, int promptTokens, double prefixTilt, int stream, int position, double[]? weights = null)
    {
        double[] logits = TestModels.Outputs(Reference, prefix, 0, prefix.Length - 1, 0);
        int[] candidates = [.. Enumerable.Range(0, Vocab).OrderByDescending(token => logits[token]).Take(Candidates)];
        int bidirectional = Guide.Settings.BidirectionalPrompt ? promptTokens : 0;
        bool isAtToken = Guide.Settings.Kind == HeadKind.V;
        double[][] values =
        [
            .. candidates.Select(token => isAtToken
                ? TestModels.Outputs(Guide, [.. prefix, token], bidirectional, prefix.Length, token)
                : TestModels.Outputs(Guide, prefix, bidirectional, prefix.Length - 1, token)),
        ];
        return GuidedStep.Of(rule, logits, candidates, values, prefixTilt, Key, stream, position, weights);
    }

    public static void AssertSame(string what, SampleBatch a, int rowOfA, SampleBatch b, int rowOfB, double tolerance)
    {
        Assert.True(a.Response(rowOfA).SequenceEqual(b.Response(rowOfB)), $"{what}: row {rowOfA} has other tokens.");
        for (int t = 0; t < a.ResponseLengths[rowOfA]; t++)
        {
            for (int i = 0; i < SampleStatistics.Count; i++)
            {
                float x = Statistics(a, rowOfA, t)[i], y = Statistics(b, rowOfB, t)[i];
                bool isSame = x == y || Math.Abs(x - y) <= tolerance * Math.Max(1, Math.Abs(x));
                Assert.True(isSame, $"{what}: token {t} of row {rowOfA}: statistic {i} is {x} and {y}.");
            }
        }
    }

    public void Dispose()
    {
        Guide.Dispose();
        Reference.Dispose();
        Device.Dispose();
    }
}
