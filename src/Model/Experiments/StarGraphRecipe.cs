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

    public required TransformerConfig Model { get; init; }

    public required ValueSettings Guide { get; init; }

    public required int ReferenceSteps { get; init; }

    public required float ReferenceRate { get; init; }

    public required int GuideSteps { get; init; }

    public required float GuideRate { get; init; }

    public required int ReferenceWarmup { get; init; }

    public required int GuideWarmup { get; init; }

    /// <summary>Sequences of a training step.</summary>
    public int Batch { get; init; } = 64;

    /// <summary>Roll-outs collected for each round: one pass over fresh ones is the recipe.</summary>
    public int Rollouts => GuideSteps * Batch;

    /// <summary>K: one more than there are arms covers every continuation that π_ref finds likely.</summary>
    public int Candidates => Graph.Arms + 1;

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
            Model = TransformerConfig.Gpt2(Math.Clamp(pathLength, 3, 4), 64, 4, task.Vocabulary, task.PromptLimit + task.ResponseLimit, tiedHead: false),
            Guide = new ValueSettings(HeadKind.V, Kernels.ReturnFamily.Bernoulli, BidirectionalPrompt: pathLength >= 4),
            ReferenceSteps = pathLength <= 3 ? 300 : isLong ? 1000 : 500,
            ReferenceRate = 3e-3f,
            ReferenceWarmup = 100,
            GuideSteps = pathLength <= 3 || isLong ? 1500 : 2250,
            GuideRate = 1e-3f,
            GuideWarmup = isLong ? 300 : 100,
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
