using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// Settings of a star-graph experiment, chosen from (d, l) by a rule that is stated here and printed with every run.
/// What they are known to reach stands in docs/star-graph.md.
/// </summary>
public sealed record StarGraphRecipe
{
    /// <summary>Fewer different graphs than this can be learned by heart.</summary>
    private const long LeastGraphs = 15_000;

    public required StarGraphSettings Graph { get; init; }

    public required PretrainRecipe Reference { get; init; }

    public required GuideRecipe Guide { get; init; }

    /// <summary>Sequences of a training step.</summary>
    private const int Batch = 64;

    /// <summary>The rule, in one sentence.</summary>
    public const string Rule =
        "labels: the fewest that make 15,000 different graphs and leave two unused; layers: l, at least 3 and at most 4; width 64, 4 heads; "
        + "steps grow with l; from l = 4 the guide's prompt is bidirectional";

    /// <param name="labels">0 for the rule's choice.</param>
    public static StarGraphRecipe For(int arms, int pathLength, int labels = 0)
    {
        StarGraphSettings graph = new StarGraphSettings(arms, pathLength, labels == 0 ? LabelsFor(arms, pathLength) : labels).Validated();
        StarGraphTask task = new(graph);
        bool isLong = pathLength >= 5;
        return new StarGraphRecipe
        {
            Graph = graph,
            Reference = new PretrainRecipe(
                TransformerConfig.Gpt2(Math.Clamp(pathLength, 3, 4), 64, 4, task.Vocabulary, task.PromptLimit + task.ResponseLimit, tiedHead: false),
                Steps: pathLength <= 3 ? 300 : isLong ? 1000 : 500, Rate: 3e-3f, Warmup: 100, Batch),
            // K: one more than there are arms covers every continuation that π_ref finds likely; as in the paper's code, nothing else can be drawn.
            Guide = new GuideRecipe(
                new ValueSettings(HeadKind.V, ReturnFamily.Bernoulli, BidirectionalPrompt: pathLength >= 4),
                Steps: pathLength <= 3 || isLong ? 1500 : 2250, Rate: 1e-3f, Warmup: isLong ? 300 : 100, Batch, Candidates: arms + 1, Outside.Truncate),
        };
    }

    private static int LabelsFor(int arms, int pathLength)
    {
        if (arms < 2 || pathLength < 2) return 1;   // refused by Validated
        int nodes = checked(1 + arms * (pathLength - 1));
        for (int labels = nodes + 2; ; labels++)
        {
            // Labelings in order, over the orders of the arms, which make the same graph.
            double graphs = 1;
            for (int i = 0; i < nodes; i++) graphs *= labels - i;
            for (int i = 2; i <= arms; i++) graphs /= i;
            if (graphs >= LeastGraphs) return labels;
        }
    }
}
